//! Generates the code of the stored records with protox, so that nobody needs `protoc`.

use std::error::Error;

const PROTO_ROOT: &str = "../../proto";
const RECORDS: &str = "muster/store/v1/records.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}/{RECORDS}");
    let descriptors = protox::compile([RECORDS], [PROTO_ROOT])?;
    // Ordered maps make the encoding of a record unique.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
