//! The counts, put into the JSON of a run.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use super::callgrind::Count;

/// Puts the counts into the run in `path`, in place of any that are there. All else stays.
pub(crate) fn into(path: &Path, counts: &[Count]) -> anyhow::Result<()> {
    let shown = path.display();
    let json = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let merged = merged(&json, counts).with_context(|| format!("{shown} is not a run of the benches"))?;
    fs::write(path, merged).with_context(|| format!("cannot write {shown}"))
}

fn merged(json: &str, counts: &[Count]) -> anyhow::Result<String> {
    let mut run: Map<String, Value> = serde_json::from_str(json)?;
    run.insert("instructions".to_owned(), serde_json::to_value(counts)?);
    Ok(serde_json::to_string_pretty(&run)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_else_stays() {
        let merged = merged(r#"{"rows": [{"subject": "a"}], "instructions": 1}"#, &[]).unwrap();
        let run: Value = serde_json::from_str(&merged).unwrap();
        assert_eq!(run, serde_json::json!({"rows": [{"subject": "a"}], "instructions": []}));
    }

    #[test]
    fn what_is_no_run_is_an_error() {
        assert!(merged("[]", &[]).is_err());
    }
}
