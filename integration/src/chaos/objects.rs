//! Volumes, image names and networks of the Docker door, each with what its client knows: there, not there, or either.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use super::archive::Content;
use super::door::{Door, Reply};
use super::facts::{Count, Step, contradiction};

fn explained(door: &Door, what: &str, reply: &Reply) -> Step {
    if door.lenient && reply.status >= 500 {
        return Ok(());
    }
    contradiction(format!("{what}: {} {}", reply.status, reply.text()))
}

/// Decides by what was seen. What was cut off may be taken up later still when steps are made to fail.
fn settle(door: &Door, there: &mut Option<bool>, seen: bool, what: &str) -> Step {
    if there.is_none() && seen && door.lenient {
        return Ok(());
    }
    match there.replace(seen) {
        Some(known) if known != seen => {
            contradiction(format!("{what} is {}there", if seen { "" } else { "not " }))
        }
        _ => Ok(()),
    }
}

/// A named volume with the lines its containers have written.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Whether it is there; `None` after a request that was cut off.
    pub there: Option<bool>,
    /// Lines in its file.
    pub lines: Count,
}

impl Volume {
    /// One that is not there.
    #[must_use]
    pub fn absent(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            there: Some(false),
            lines: Count::default(),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn make(&mut self, door: &Door) -> Step {
        self.there = None;
        let body = json!({ "Name": self.name, "Labels": { "chaos": self.name } });
        let reply = door.post("/volumes/create", &body)?;
        if reply.status == 201 {
            self.there = Some(true);
            return Ok(());
        }
        explained(door, &format!("create volume {}", self.name), &reply)?;
        self.there = Some(false);
        Ok(())
    }

    /// Removes it; it must not be in use.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn remove(&mut self, door: &Door) -> Step {
        self.there = None;
        let reply = door.ask("DELETE", &format!("/volumes/{}", self.name), b"")?;
        if reply.status == 204 {
            self.there = Some(false);
            self.lines = Count::default();
            return Ok(());
        }
        explained(door, &format!("remove volume {}", self.name), &reply)
    }

    /// Asks for a removal that must be refused, since a container refers to it.
    ///
    /// # Errors
    /// If it is not.
    pub fn remove_used(&self, door: &Door) -> Step {
        let reply = door.ask("DELETE", &format!("/volumes/{}", self.name), b"")?;
        if reply.status == 409 {
            return Ok(());
        }
        explained(
            door,
            &format!("remove volume {}, which is used", self.name),
            &reply,
        )
    }

    /// Looks whether it is there, with its label and what was written.
    ///
    /// # Errors
    /// If it is not as it must be.
    pub fn settle(&mut self, door: &Door, root: &Path) -> Step {
        let reply = door.get(&format!("/volumes/{}", self.name))?;
        let data = root.join("volumes/local").join(&self.name).join("_data");
        settle(
            door,
            &mut self.there,
            reply.status == 200,
            &format!("volume {}", self.name),
        )?;
        if reply.status != 200 {
            self.lines = Count::default();
            if data.is_dir() {
                return contradiction(format!("volume {} is gone, its files are not", self.name));
            }
            return Ok(());
        }
        if reply.json()["Labels"]["chaos"] != json!(self.name) {
            return contradiction(format!("volume {} has lost its label", self.name));
        }
        if !data.is_dir() {
            return contradiction(format!("volume {} has no folder", self.name));
        }
        let text = std::fs::read_to_string(data.join("f")).unwrap_or_default();
        if !text.is_empty() && text.lines().any(|l| l != "line") {
            return contradiction(format!("volume {} holds {text:?}", self.name));
        }
        let what = format!("lines in volume {}", self.name);
        self.lines.settle(&what, text.lines().count())
    }
}

/// Images every client loads under names of its own.
#[derive(Debug)]
pub struct Shelf {
    contents: Vec<Content>,
    /// The id each content was seen with: it may never be another.
    ids: Mutex<BTreeMap<usize, String>>,
}

impl Shelf {
    /// With so many contents.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn new(count: usize) -> anyhow::Result<Self> {
        let contents = (0..count).map(|n| Content::new(n, 4096 << (3 * n)));
        Ok(Self {
            contents: contents.collect::<anyhow::Result<_>>()?,
            ids: Mutex::default(),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contents.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    fn is(&self, variant: usize, id: &str) -> bool {
        let mut ids = self.ids.lock().unwrap_or_else(|p| p.into_inner());
        ids.entry(variant).or_insert_with(|| id.to_owned()) == id
    }
}

/// A name for one of the images.
#[derive(Clone, Debug)]
pub struct Tag {
    /// `chaos/…:tag`.
    pub name: String,
    /// What it may name; `None` is nothing.
    pub may: Vec<Option<usize>>,
}

impl Tag {
    /// A name that names nothing.
    #[must_use]
    pub fn absent(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            may: vec![None],
        }
    }

    /// The image it names, if that is known.
    #[must_use]
    pub fn names(&self) -> Option<usize> {
        match self.may.as_slice() {
            [one] => *one,
            _ => None,
        }
    }

    /// Loads an archive that gives this name.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn load(&mut self, door: &Door, shelf: &Shelf, variant: usize) -> Step {
        let before = self.may.clone();
        self.may.push(Some(variant));
        let archive = shelf.contents[variant].named(&self.name);
        let reply = door.ask("POST", "/images/load?quiet=1", &archive)?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if reply.status == 200 && text.contains("Loaded image") {
            self.may = vec![Some(variant)];
            return Ok(());
        }
        // The head is sent before the work: the error is in the stream then.
        if !(door.lenient && reply.status == 200 && text.contains("error")) {
            explained(door, &format!("load {}", self.name), &reply)?;
        }
        self.may = before;
        self.settle(door, shelf)
    }

    /// Gives the same image another name.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn tag(&mut self, door: &Door, from: &str, variant: usize) -> Step {
        let before = self.may.clone();
        self.may.push(Some(variant));
        let (repo, tag) = self.name.rsplit_once(':').unwrap_or((&self.name, "latest"));
        let path = format!("/images/{from}/tag?repo={repo}&tag={tag}");
        let reply = door.ask("POST", &path, b"")?;
        if reply.status == 201 {
            self.may = vec![Some(variant)];
            return Ok(());
        }
        explained(door, &format!("tag {from} as {}", self.name), &reply)?;
        self.may = before;
        Ok(())
    }

    /// Takes the name away.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn remove(&mut self, door: &Door) -> Step {
        let before = self.may.clone();
        self.may.push(None);
        let path = format!("/images/{}?force=1", self.name);
        let reply = door.ask("DELETE", &path, b"")?;
        if reply.status == 200 {
            self.may = vec![None];
            return Ok(());
        }
        explained(door, &format!("remove image {}", self.name), &reply)?;
        // What follows the name's end may have failed.
        self.may = before;
        self.may.push(None);
        Ok(())
    }

    /// Looks what it names.
    ///
    /// # Errors
    /// If it is not what it must be.
    pub fn settle(&mut self, door: &Door, shelf: &Shelf) -> Step {
        let reply = door.get(&format!("/images/{}/json", self.name))?;
        let seen = match reply.status {
            404 => None,
            200 => {
                let shown = reply.json();
                let id = shown["Id"].as_str().unwrap_or_default();
                let fits = |may: &&Option<usize>| may.is_some_and(|v| shelf.is(v, id));
                let Some(variant) = self.may.iter().find(fits) else {
                    return contradiction(format!(
                        "image {} is {id}, and {:?} is what can be",
                        self.name, self.may
                    ));
                };
                let names = shown["RepoTags"].as_array().cloned().unwrap_or_default();
                if !names.contains(&json!(self.name)) {
                    return contradiction(format!("image {} is called {names:?}", self.name));
                }
                *variant
            }
            _ => return explained(door, &format!("inspect image {}", self.name), &reply),
        };
        if !self.may.contains(&seen) {
            return contradiction(format!(
                "image {} is {seen:?}, and {:?} is what can be",
                self.name, self.may
            ));
        }
        self.may = vec![seen];
        Ok(())
    }
}

/// A network of one's own.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub there: Option<bool>,
}

impl Network {
    /// Makes it, or removes it when it is there.
    ///
    /// # Errors
    /// If it is refused without a reason.
    pub fn toggle(&mut self, door: &Door) -> Step {
        let before = self.there;
        self.there = None;
        let reply = match before {
            Some(true) => door.ask("DELETE", &format!("/networks/{}", self.name), b"")?,
            _ => door.post("/networks/create", &json!({ "Name": self.name }))?,
        };
        if matches!(reply.status, 201 | 204) {
            self.there = before.map(|there| !there);
            return Ok(());
        }
        explained(
            door,
            &format!("make or remove network {}", self.name),
            &reply,
        )?;
        if before == Some(false) {
            self.there = before;
        }
        Ok(())
    }

    /// Looks whether it is there.
    ///
    /// # Errors
    /// If it is not as it must be.
    pub fn settle(&mut self, door: &Door) -> Step {
        let reply = door.get(&format!("/networks/{}", self.name))?;
        let what = format!("network {}", self.name);
        settle(door, &mut self.there, reply.status == 200, &what)
    }
}
