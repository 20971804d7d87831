//! A program that does nothing: the smallest static binary, so that what is measured is Muster.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exits with 0 before any library is set up, where the machine's way to do so is known.
const SOURCE: &str = r#"
#if defined(__x86_64__)
void _start(void) { __asm__ volatile("mov $60, %eax\n xor %edi, %edi\n syscall"); }
#elif defined(__aarch64__)
void _start(void) { __asm__ volatile("mov x8, #93\n mov x0, #0\n svc #0"); }
#endif
"#;

/// Compiles it into a folder.
pub(crate) fn build(dir: &Path) -> PathBuf {
    let (source, program) = (dir.join("noop.c"), dir.join("noop"));
    std::fs::write(&source, SOURCE).expect("a file can be written");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-static", "-nostdlib", "-nostartfiles", "-o"]).arg(&program).arg(&source);
    assert!(compiler.status().expect("there is a C compiler").success(), "the no-op program compiles");
    program
}
