//! Generates a REST client from `users.openapi.json` and a gRPC client from `notes.proto`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use progenitor::{GenerationSettings, Generator};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=users.openapi.json");
    println!("cargo:rerun-if-changed=notes.proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let document: openapiv3::OpenAPI =
        serde_json::from_str(&fs::read_to_string("users.openapi.json")?)?;
    let mut settings = GenerationSettings::default();
    settings.with_inner_type("crate::sdk::Stack".parse()?);
    let tokens = Generator::new(&settings).generate_tokens(&document)?;
    fs::write(out.join("users.rs"), prettyplease::unparse(&syn::parse2(tokens)?))?;

    let messages = protox::compile(["notes.proto"], ["."])?;
    tonic_prost_build::configure().build_server(false).compile_fds(messages)?;
    Ok(())
}
