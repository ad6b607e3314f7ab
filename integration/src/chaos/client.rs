//! One client: what it owns, and what it does next.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::containers::{Owned, Wanted};
use super::door::Door;
use super::facts::{Fact, Step};
use super::objects::{Network, Shelf, Tag, Volume};
use super::pods::{Kubelet, Pod};
use super::programs::Kind;
use super::random::Random;
use crate::node::BUSYBOX;

/// Most containers of one client at a time.
const CONTAINERS: usize = 3;

/// What all clients work with in one round.
#[derive(Debug)]
pub struct World<'a> {
    /// The Docker door.
    pub door: Door,
    /// The CRI socket.
    pub cri: PathBuf,
    /// The daemon's root.
    pub root: PathBuf,
    /// The images.
    pub shelf: &'a Shelf,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    /// `c7`; what it makes is called after it.
    pub name: String,
    number: usize,
    serial: usize,
    /// How many steps it has done.
    pub steps: usize,
    /// Its containers.
    pub boxes: Vec<Owned>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// Its image names.
    pub tags: Vec<Tag>,
    /// Its networks.
    pub networks: Vec<Network>,
    /// Its pod, if it is a kubelet.
    pub pod: Option<Pod>,
}

impl Client {
    /// One that owns nothing yet.
    #[must_use]
    pub fn new(number: usize, kubelet: bool, logs: &Path) -> Self {
        let name = format!("c{number}");
        let pod = kubelet.then(|| Pod::new(&name, logs, BUSYBOX));
        let volumes = ["a", "b"].map(|n| Volume::absent(&format!("{name}-v{n}")));
        let tags = ["1", "2", "3"].map(|n| Tag::absent(&format!("chaos/{name}:{n}")));
        let networks = vec![Network {
            name: format!("{name}-net"),
            there: Some(false),
        }];
        Self {
            name,
            number,
            serial: 0,
            steps: 0,
            boxes: Vec::new(),
            volumes: volumes.into(),
            tags: tags.into(),
            networks,
            pod,
        }
    }

    /// The same client with nothing of its own any more; it does not use a name twice.
    #[must_use]
    pub fn after(mut self, old: &Self) -> Self {
        self.serial = old.serial;
        if let (Some(new), Some(old)) = (&mut self.pod, &old.pod) {
            new.serial = old.serial;
        }
        self
    }

    /// Looks whether everything it knows is so; everything is known exactly afterwards.
    ///
    /// # Errors
    /// If it is not so, or the daemon goes away.
    pub fn settle(&mut self, world: &World) -> Step {
        if let Some(pod) = &mut self.pod {
            return pod.settle(&kubelet(world)?);
        }
        for at in 0..self.boxes.len() {
            self.boxes[at].settle(&world.door)?;
        }
        self.boxes.retain(|b| !b.is(&Fact::Absent));
        for volume in &mut self.volumes {
            volume.settle(&world.door, &world.root)?;
        }
        for tag in &mut self.tags {
            tag.settle(&world.door, world.shelf)?;
        }
        for network in &mut self.networks {
            network.settle(&world.door)?;
        }
        Ok(())
    }

    /// Works until it is told to stop.
    ///
    /// # Errors
    /// If something is as it must not be, or the daemon goes away.
    pub fn work(&mut self, world: &World, random: &mut Random, stop: &AtomicBool) -> Step {
        let api = match &self.pod {
            Some(_) => Some(kubelet(world)?),
            None => None,
        };
        while !stop.load(Ordering::Relaxed) {
            match (&mut self.pod, &api) {
                (Some(pod), Some(api)) => pod.act(api, random)?,
                _ => self.act(world, random)?,
            }
            self.steps += 1;
        }
        Ok(())
    }

    fn act(&mut self, world: &World, random: &mut Random) -> Step {
        match random.below(100) {
            0..20 if self.boxes.len() < CONTAINERS => self.create(world, random),
            0..70 if !self.boxes.is_empty() => self.touch(world, random),
            70..78 => self.volume(world, random),
            78..95 => self.image(world, random),
            95..98 if self.networks[0].there.is_none() => self.networks[0].settle(&world.door),
            95..98 => self.networks[0].toggle(&world.door),
            _ if self.boxes.len() < CONTAINERS => self.create(world, random),
            _ => self.touch(world, random),
        }
    }

    fn next_name(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}", self.name, self.serial)
    }

    fn create(&mut self, world: &World, random: &mut Random) -> Step {
        let name = self.next_name();
        let known = self.tags.iter().find(|t| t.names().is_some());
        let broken = known.map(|t| t.name.clone());
        let port = 20_000 + self.number * 500 + self.serial % 500;
        let kind = match (random.below(20), &broken) {
            (0..6, _) => Kind::Sleeper,
            (6..8, _) => Kind::Server(u16::try_from(port).unwrap_or(20_000)),
            (8..10, _) => Kind::Cat,
            (10..12, _) => Kind::Chatty,
            (12, Some(_)) => Kind::Broken,
            _ => Kind::Short(i64::try_from(random.below(60)).unwrap_or(0) + 10),
        };
        let short = matches!(kind, Kind::Short(_));
        let volumes: Vec<&Volume> = self
            .volumes
            .iter()
            .filter(|v| v.there == Some(true))
            .collect();
        let volume = (short && !volumes.is_empty() && random.chance(60))
            .then(|| random.one_of(&volumes).name.clone());
        let wanted = Wanted {
            name,
            image: match (&kind, broken) {
                (Kind::Broken, Some(image)) => image,
                _ => BUSYBOX.to_owned(),
            },
            auto_remove: short && volume.is_none() && random.chance(25),
            always: matches!(kind, Kind::Sleeper) && random.chance(20),
            checked: kind.stays() && random.chance(20),
            runc: !matches!(kind, Kind::Broken) && random.chance(15),
            variant: random.below(4),
            volume,
            kind,
        };
        self.boxes.push(Owned::wanted(&wanted));
        let made = self
            .boxes
            .last_mut()
            .expect("it was pushed above")
            .make(&world.door, &wanted);
        self.boxes.retain(|b| !b.is(&Fact::Absent));
        made
    }

    fn touch(&mut self, world: &World, random: &mut Random) -> Step {
        let at = random.below(self.boxes.len());
        let name = self.next_name();
        let one = &mut self.boxes[at];
        let before = one.starts;
        let acted = one.act(&world.door, random, &name);
        let (starts, volume) = (one.starts, one.volume.clone());
        if let Some(volume) = self
            .volumes
            .iter_mut()
            .find(|v| Some(&v.name) == volume.as_ref())
        {
            volume.lines.max += starts.max - before.max;
            volume.lines.min += starts.min - before.min;
        }
        self.boxes.retain(|b| !b.is(&Fact::Absent));
        acted
    }

    fn volume(&mut self, world: &World, random: &mut Random) -> Step {
        let at = random.below(self.volumes.len());
        let name = &self.volumes[at].name;
        let used = self.boxes.iter().any(|b| b.volume.as_ref() == Some(name));
        let volume = &mut self.volumes[at];
        match (volume.there, used) {
            (Some(true), true) => volume.remove_used(&world.door),
            (Some(true), false) => volume.remove(&world.door),
            (Some(false), _) => volume.make(&world.door),
            (None, _) => volume.settle(&world.door, &world.root),
        }
    }

    fn image(&mut self, world: &World, random: &mut Random) -> Step {
        let at = random.below(self.tags.len());
        let from = self
            .tags
            .iter()
            .enumerate()
            .find(|(n, tag)| *n != at && tag.names().is_some())
            .and_then(|(_, tag)| Some((tag.name.clone(), tag.names()?)));
        let tag = &mut self.tags[at];
        if tag.may.len() > 1 {
            return tag.settle(&world.door, world.shelf);
        }
        match (tag.names(), from) {
            (Some(_), _) => tag.remove(&world.door),
            (None, Some((from, variant))) if random.chance(50) => {
                tag.tag(&world.door, &from, variant)
            }
            _ => {
                let variant = random.below(world.shelf.len());
                tag.load(&world.door, world.shelf, variant)
            }
        }
    }

    /// The machine went down with everything that ran.
    pub fn machine_died(&mut self) {
        self.boxes.iter_mut().for_each(Owned::machine_died);
        if let Some(pod) = &mut self.pod {
            pod.machine_died();
        }
    }
}

fn kubelet(world: &World) -> Step<Kubelet> {
    Kubelet::connect(&world.cri, world.door.lenient, world.door.fragile)
}
