//! Compiles the bridge against libtorch, and the NCCL part against CUDA's headers into a shared object that the library embeds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    // Set by torch-sys, which has `links = "tch"`.
    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where libtorch lies"));
    let root = lib.parent().expect("libtorch's lib folder lies inside libtorch's");
    let torch = [root.join("include"), root.join("include/torch/csrc/api/include")];
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());

    let mut plugin = plugin(&torch, &root.join("cuda-include"));
    let compiling = plugin.spawn(); // beside the bridge, which takes as long
    let mut build = cxx_build::bridge("src/ffi.rs");
    build.std("c++17").define("USE_C10D_GLOO", None).include("cpp").file("cpp/bridge.cc");
    build.flag("-isystem").flag("cpp/gloo_fwd");
    for dir in &torch {
        build.flag("-isystem").flag(dir);
    }
    build.compile("nccl_rs_bridge");
    match compiling.and_then(|mut compiler| compiler.wait()) {
        Ok(status) if status.success() => {}
        result => {
            let args: Vec<_> = plugin.get_args().map(|a| a.to_string_lossy()).collect();
            eprintln!("{} {} failed: {result:?}", plugin.get_program().display(), args.join(" "));
            exit(1);
        }
    }
}

/// What compiles one shared object with nothing of CUDA linked: its symbols are those of the libtorch_cuda in the process that loads it.
fn plugin(torch: &[PathBuf], cuda: &Path) -> Command {
    if !cuda.join("nccl.h").exists() {
        eprintln!("{} has no nccl.h: provide libtorch with scripts/libtorch.sh", cuda.display());
        exit(1);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("nccl_plugin.so");
    let compiler =
        cc::Build::new().cpp(true).std("c++17").opt_level(2).pic(true).debug(false).warnings(false).get_compiler();
    let mut command = compiler.to_command();
    command.args(["-shared", "-s", "-DUSE_C10D_NCCL", "-iquote", "cpp", "cpp/nccl.cc", "-o"]).arg(&out);
    for dir in [Path::new("cpp/cuda_fwd"), cuda].into_iter().chain(torch.iter().map(PathBuf::as_path)) {
        command.arg("-isystem").arg(dir);
    }
    command
}
