//! Generates the code of the stored records with protox, so that nobody needs `protoc`.

use std::error::Error;

const PROTO_ROOT: &str = "../../proto";
const FILES: [&str; 2] = ["muster/store/v1/records.proto", "muster/store/v1/backup.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={PROTO_ROOT}/{file}");
    }
    let descriptors = protox::compile(FILES, [PROTO_ROOT])?;
    // Ordered maps make the encoding of a record unique.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
