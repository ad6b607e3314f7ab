//! What a client does to its pod.

use super::*;

/// Says one line, and ends with 7 when it is told to.
const SLEEPER: &str = "trap 'exit 7' TERM; echo begin; sleep 100000 & while :; do wait $!; done";
const SHORT: &str = "echo out; exit 9";

impl Pod {
    /// Does something that makes sense in the state it is in.
    ///
    /// # Errors
    /// If the daemon goes away or answers what cannot be.
    pub fn act(&mut self, kubelet: &Kubelet, random: &mut Random) -> Step {
        match self.facts.as_slice() {
            _ if self.leaving => self.remove(kubelet),
            [Fact::Absent] => self.run(kubelet, random.chance(30)),
            [Fact::Exited(_)] => match random.below(3) {
                0 => self.stop(kubelet),
                _ => self.remove(kubelet),
            },
            _ => match random.below(12) {
                0 => self.stop(kubelet),
                1 if self.members.is_empty() => self.remove(kubelet),
                _ => self.act_inside(kubelet, random),
            },
        }
    }

    fn run(&mut self, kubelet: &Kubelet, twice: bool) -> Step {
        self.serial += 1;
        self.leaving = false;
        self.fragile = kubelet.fragile;
        self.id = None;
        self.members.clear();
        self.facts = vec![Fact::Absent, Fact::Running];
        let answer = kubelet.status(kubelet.api.run_pod(self.config()))?;
        let id = match answer {
            Ok(id) => id,
            Err(status) => {
                kubelet.explained("RunPodSandbox", &status)?;
                self.facts = vec![Fact::Absent];
                return self.settle(kubelet);
            }
        };
        self.facts = vec![Fact::Running];
        self.id = Some(id.clone());
        if twice {
            let again = kubelet.status(kubelet.api.run_pod(self.config()))?;
            if !self.fragile && again.as_ref().ok() != Some(&id) {
                return contradiction(format!("the same RunPodSandbox again: {again:?}, not {id}"));
            }
        }
        Ok(())
    }

    fn stop(&mut self, kubelet: &Kubelet) -> Step {
        let Some(id) = self.id.clone() else {
            return Ok(());
        };
        self.facts = vec![Fact::Running, Fact::Exited(Vec::new())];
        for member in &mut self.members {
            if member.facts == [Fact::Running] {
                member.facts.push(Fact::Exited(Vec::new()));
            }
        }
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id };
        let api = &kubelet.api;
        match kubelet.status(api.wait(api.runtime().stop_pod_sandbox(request)))? {
            Ok(_) => self.facts = vec![Fact::Exited(Vec::new())],
            Err(status) => kubelet.explained("StopPodSandbox", &status)?,
        }
        self.settle(kubelet)
    }

    fn remove(&mut self, kubelet: &Kubelet) -> Step {
        let Some(id) = self.id.clone() else {
            return Ok(());
        };
        self.facts = [
            self.facts.clone(),
            vec![Fact::Exited(Vec::new()), Fact::Absent],
        ]
        .concat();
        self.leaving = true;
        for member in &mut self.members {
            member.facts.push(Fact::Absent);
            member.leaving = true;
            member.eventual = true;
        }
        match kubelet.status(kubelet.api.remove_pod(&id))? {
            Ok(()) => self.facts = vec![Fact::Absent],
            Err(status) => kubelet.explained("StopPodSandbox and RemovePodSandbox", &status)?,
        }
        self.settle(kubelet)
    }

    fn act_inside(&mut self, kubelet: &Kubelet, random: &mut Random) -> Step {
        let Some(pod) = self.id.clone() else {
            return self.settle(kubelet);
        };
        if self.members.is_empty() || (self.members.len() < 2 && random.chance(40)) {
            return self.create(kubelet, &pod, random);
        }
        let at = random.below(self.members.len());
        let fragile = self.fragile;
        let member = &mut self.members[at];
        let step = match member.facts.as_slice() {
            [Fact::Created] => member.start(kubelet, fragile),
            [Fact::Running] => match random.below(5) {
                0 => member.stop(kubelet),
                1 => member.remove(kubelet),
                2 => member.reopen(kubelet, fragile),
                _ => member.exec(kubelet, fragile),
            },
            _ => member.remove(kubelet),
        };
        step?;
        self.settle(kubelet)
    }

    fn create(&mut self, kubelet: &Kubelet, pod: &str, random: &mut Random) -> Step {
        let stays = random.chance(70);
        let name = format!("c{}", random.below(1_000_000));
        let script = if stays { SLEEPER } else { SHORT };
        let config = cri::container(&name, &self.image, &["sh", "-c", script]);
        self.members.push(Member {
            name,
            id: None,
            facts: vec![Fact::Absent, Fact::Created],
            eventual: false,
            leaving: false,
            stays,
            started: None,
        });
        let again = random.chance(20);
        let answer = kubelet.status(kubelet.api.create(pod, config.clone(), self.config()))?;
        let member = self.members.last_mut().expect("it was pushed above");
        match answer {
            Ok(id) => {
                member.facts = vec![Fact::Created];
                member.id = Some(id.clone());
                if again {
                    let second = kubelet.api.create(pod, config, self.config());
                    let second = kubelet.status(second)?;
                    if !self.fragile && second.as_ref().ok() != Some(&id) {
                        return contradiction(format!(
                            "the same CreateContainer again: {second:?}, not {id}"
                        ));
                    }
                }
                Ok(())
            }
            Err(status) => {
                if !self.fragile {
                    kubelet.explained("CreateContainer", &status)?;
                }
                member.facts = vec![Fact::Absent];
                self.settle(kubelet)
            }
        }
    }
}

impl Member {
    fn start(&mut self, kubelet: &Kubelet, fragile: bool) -> Step {
        let up = match self.stays {
            true => Fact::Running,
            false => Fact::Exited(vec![9]),
        };
        let undone = Fact::Exited(vec![127, 128]);
        self.facts = vec![Fact::Created, up.clone(), undone.clone()];
        self.eventual = true;
        let id = self.id.clone().unwrap_or_default();
        match kubelet.status(kubelet.api.start(&id))? {
            Ok(()) => self.facts = vec![up],
            Err(status) => {
                if !fragile {
                    kubelet.explained("StartContainer", &status)?;
                }
                self.facts = vec![Fact::Created, undone];
                self.eventual = false;
            }
        }
        Ok(())
    }

    fn stop(&mut self, kubelet: &Kubelet) -> Step {
        let ended = Fact::Exited(vec![7, 137, 143, 255]);
        self.facts = vec![Fact::Running, ended.clone()];
        let id = self.id.clone().unwrap_or_default();
        match kubelet.status(kubelet.api.stop(&id, 1))? {
            Ok(()) => self.facts = vec![ended],
            Err(status) => kubelet.explained("StopContainer", &status)?,
        }
        Ok(())
    }

    fn remove(&mut self, kubelet: &Kubelet) -> Step {
        let before = self.facts.clone();
        self.facts = [before, vec![Fact::Exited(Vec::new()), Fact::Absent]].concat();
        self.eventual = true;
        self.leaving = true;
        let id = self.id.clone().unwrap_or_default();
        match kubelet.status(kubelet.api.remove(&id))? {
            Ok(()) => self.facts = vec![Fact::Absent],
            Err(status) => kubelet.explained("RemoveContainer", &status)?,
        }
        Ok(())
    }

    fn exec(&mut self, kubelet: &Kubelet, fragile: bool) -> Step {
        let id = self.id.clone().unwrap_or_default();
        let command = ["sh", "-c", "echo hi; exit 4"];
        match kubelet.status(kubelet.api.exec(&id, &command, 30))? {
            Ok(said) if said.exit_code == 4 && said.stdout == b"hi\n" => Ok(()),
            _ if fragile => Ok(()),
            Ok(said) => contradiction(format!("ExecSync in {}: {said:?}", self.name)),
            Err(status) => kubelet.explained("ExecSync", &status),
        }
    }

    fn reopen(&mut self, kubelet: &Kubelet, fragile: bool) -> Step {
        let request = v1::ReopenContainerLogRequest {
            container_id: self.id.clone().unwrap_or_default(),
        };
        let api = &kubelet.api;
        match kubelet.status(api.wait(api.runtime().reopen_container_log(request)))? {
            Ok(_) => Ok(()),
            _ if fragile => Ok(()),
            Err(status) => kubelet.explained("ReopenContainerLog", &status),
        }
    }
}
