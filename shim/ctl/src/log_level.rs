//! `gantry log-level`: changes how much the daemon logs.

use serde::Deserialize;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::ps::parse;
use crate::table::printable;

#[derive(Deserialize)]
struct Level {
    filter: String,
}

pub(crate) async fn run(client: &Client, output: &Output, filter: &str) -> Result<(), Failure> {
    let body = serde_json::json!({ "filter": filter }).to_string();
    let answer = client.post("/v1/log-level", body.into()).await?;
    if output.json {
        return output.answer(&answer);
    }
    let level: Level = parse(&answer)?;
    output.line(&format!("gantryd now logs {}", printable(&level.filter)))
}
