//! `cargo xtask openapi`: the document of the API in the tree, written anew. The test that holds it to the types does it, since only
//! that is built of them.

use crate::run;
use std::process::ExitCode;

/// Takes no argument.
pub(crate) fn openapi(args: &[String]) -> Result<ExitCode, String> {
    if !args.is_empty() {
        return Err("openapi takes no argument".into());
    }
    let test = ["test", "--quiet", "--package", "proxy", "--lib", "the_document_in_the_tree_is_what_the_types_say"];
    let said = run::capture(run::cargo().args(test).env("NARU_WRITE_OPENAPI", "1"))?;
    if !said.status.success() {
        return Err(format!("docs/openapi.json could not be written:\n{}", said.text));
    }
    println!("docs/openapi.json is what the types say");
    Ok(ExitCode::SUCCESS)
}
