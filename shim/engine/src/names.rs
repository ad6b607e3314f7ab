//! Names for containers nobody named: a mood and a harbour word.

const MOODS: [&str; 32] = [
    "able", "brisk", "calm", "deft", "eager", "fair", "gentle", "hardy", "idle", "jolly", "keen",
    "lively", "merry", "nimble", "open", "proud", "quick", "ready", "steady", "tidy", "upright",
    "vivid", "warm", "young", "zesty", "bold", "clear", "daring", "early", "fresh", "grand",
    "happy",
];

const THINGS: [&str; 32] = [
    "anchor", "barge", "capstan", "derrick", "dock", "ferry", "galley", "hawser", "hull", "jetty",
    "keel", "lantern", "mast", "mooring", "oar", "pier", "pilot", "quay", "rudder", "sail",
    "skiff", "spar", "stern", "tiller", "tug", "winch", "wharf", "yawl", "beacon", "buoy",
    "compass", "harbour",
];

/// One of a million names; the same bytes give the same name.
pub(crate) fn from_random(bytes: &[u8; 32]) -> String {
    let mood = MOODS[usize::from(bytes[0]) % MOODS.len()];
    let thing = THINGS[usize::from(bytes[1]) % THINGS.len()];
    let number = u16::from_be_bytes([bytes[2], bytes[3]]) % 1000;
    format!("{mood}_{thing}_{number}")
}
