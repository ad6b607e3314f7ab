//! Looking whether a pod and its containers are as they must be.

use super::*;

impl Pod {
    /// Looks until what is seen is what must be.
    ///
    /// # Errors
    /// If it is not so in time.
    pub fn settle(&mut self, kubelet: &Kubelet) -> Step {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.look(kubelet)?;
            let fits = self.facts.iter().any(|fact| fact.fits(&seen))
                || (self.fragile && matches!(seen, Seen::Exited(_)));
            if fits {
                // What was cut off may be taken up later still when steps are made to fail.
                self.leaving |=
                    (kubelet.lenient || self.fragile) && self.facts.contains(&Fact::Absent);
                self.leaving &= seen != Seen::Absent;
                self.facts = vec![seen.fact()];
                if self.leaving {
                    self.facts.push(Fact::Absent);
                }
                break;
            }
            // What a kill has cut off is completed beside other work.
            let between = self.facts.len() > 1 || matches!(seen, Seen::Between(_));
            if !between || Instant::now() > end {
                return contradiction(format!(
                    "pod {}-{} is {seen:?}, and {:?} is what can be",
                    self.client, self.serial, self.facts
                ));
            }
            super::super::containers::pause();
        }
        if self.facts == [Fact::Absent] {
            self.id = None;
            // They went with it.
            self.members
                .iter_mut()
                .for_each(|m| m.facts = vec![Fact::Absent]);
        }
        let ready = self.facts == [Fact::Running];
        if self.leaving {
            // They go one by one, before it.
            for member in &mut self.members {
                member.facts.push(Fact::Absent);
                member.leaving = true;
            }
        }
        let (pod, fragile) = (self.id.clone(), self.fragile);
        for member in &mut self.members {
            member.settle(kubelet, pod.as_deref(), fragile || !ready)?;
        }
        self.members.retain(|m| m.facts != [Fact::Absent]);
        Ok(())
    }

    fn look(&mut self, kubelet: &Kubelet) -> Step<Seen> {
        let list = v1::ListPodSandboxRequest::default();
        let api = &kubelet.api;
        let answer = kubelet.status(api.wait(api.runtime().list_pod_sandbox(list)))?;
        let pods = match answer {
            Ok(pods) => pods.items,
            Err(status) => return contradiction(format!("list pods: {status}")),
        };
        let name = format!("{}-{}", self.client, self.serial);
        let mine: Vec<_> = pods
            .iter()
            .filter(|p| p.metadata.as_ref().is_some_and(|m| m.name == name))
            .collect();
        match mine.as_slice() {
            [] => Ok(Seen::Absent),
            [one] => {
                if self.id.as_ref().is_some_and(|id| *id != one.id) {
                    return contradiction(format!("pod {name} has become {}", one.id));
                }
                self.id = Some(one.id.clone());
                Ok(match one.state() {
                    v1::PodSandboxState::SandboxReady => Seen::Running,
                    v1::PodSandboxState::SandboxNotready => Seen::Exited(0),
                })
            }
            _ => contradiction(format!("{} pods are called {name}", mine.len())),
        }
    }
}

impl Member {
    fn settle(&mut self, kubelet: &Kubelet, pod: Option<&str>, may_die: bool) -> Step {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.look(kubelet, pod)?;
            let fits = self.facts.iter().any(|fact| fact.fits(&seen))
                || (may_die && matches!(seen, Seen::Exited(_)));
            if fits {
                self.leaving |= (kubelet.lenient || may_die) && self.facts.contains(&Fact::Absent);
                self.leaving &= seen != Seen::Absent;
                self.facts = vec![seen.fact()];
                self.eventual = false;
                if self.leaving {
                    self.facts.push(Fact::Absent);
                }
                return Ok(());
            }
            let between = matches!(seen, Seen::Between(_));
            if (!between && !self.eventual) || Instant::now() > end {
                return contradiction(format!(
                    "container {} of pod {pod:?} is {seen:?}, and {:?} is what can be",
                    self.name, self.facts
                ));
            }
            super::super::containers::pause();
        }
    }

    fn look(&mut self, kubelet: &Kubelet, pod: Option<&str>) -> Step<Seen> {
        let Some(pod) = pod else {
            return Ok(Seen::Absent);
        };
        let filter = v1::ContainerFilter {
            pod_sandbox_id: pod.to_owned(),
            ..Default::default()
        };
        let list = v1::ListContainersRequest {
            filter: Some(filter),
        };
        let api = &kubelet.api;
        let all = match kubelet.status(api.wait(api.runtime().list_containers(list)))? {
            Ok(all) => all.containers,
            Err(status) => return contradiction(format!("list containers: {status}")),
        };
        let mine: Vec<_> = all
            .iter()
            .filter(|c| c.metadata.as_ref().is_some_and(|m| m.name == self.name))
            .collect();
        let one = match mine.as_slice() {
            [] => return Ok(Seen::Absent),
            [one] => one,
            _ => return contradiction(format!("{} are called {}", mine.len(), self.name)),
        };
        if self.id.as_ref().is_some_and(|id| *id != one.id) {
            return contradiction(format!("container {} has become {}", self.name, one.id));
        }
        self.id = Some(one.id.clone());
        let status = match kubelet.status(api.status(&one.id))? {
            Ok(status) => status,
            // It went between the two questions.
            Err(status) if status.code() == Code::NotFound => {
                return Ok(Seen::Between("gone".to_owned()));
            }
            Err(status) => return contradiction(format!("status of {}: {status}", self.name)),
        };
        Ok(match status.state() {
            v1::ContainerState::ContainerCreated => Seen::Created,
            v1::ContainerState::ContainerRunning => {
                if self.started.is_some_and(|at| at != status.started_at) {
                    return contradiction(format!("{} has been started again", self.name));
                }
                self.started = Some(status.started_at);
                Seen::Running
            }
            v1::ContainerState::ContainerExited => Seen::Exited(status.exit_code.into()),
            v1::ContainerState::ContainerUnknown => Seen::Between("unknown".to_owned()),
        })
    }
}
