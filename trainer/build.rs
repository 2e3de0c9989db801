//! Tells the linker where libtorch lies, so that the binaries find it without LD_LIBRARY_PATH. What is shipped
//! (`MIXBENCH_RELOCATABLE=1`) looks beside itself alone and names no folder of the machine that built it.
fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=MIXBENCH_RELOCATABLE");
    let mut places = "$ORIGIN:$ORIGIN/../lib".to_owned();
    if std::env::var_os("MIXBENCH_RELOCATABLE").is_none_or(|value| value != "1") {
        let Ok(dir) = std::env::var("LIBTORCH") else { return };
        places = format!("{places}:{dir}/lib");
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{places}");
}
