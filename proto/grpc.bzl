"""C++ from .proto files, by Debian's protoc and gRPC plugin: Bazel's own proto rules want sources that Debian lacks."""

def _import_roots(files, proto_paths):
    """The folders in which `files` lie under the paths that they are imported as."""
    roots = {}
    for file in files:
        path = [p for p in proto_paths if file.path.endswith("/" + p)]
        if len(path) != 1:
            fail("%s is imported as none, or several, of %s" % (file.path, proto_paths))
        roots[file.path[:-len("/" + path[0])]] = True
    return roots.keys()

def _cc_proto_sources_impl(ctx):
    out_dir = ctx.bin_dir.path + "/" + ctx.label.package
    args = ctx.actions.args()
    args.add_all(_import_roots(ctx.files.srcs, ctx.attr.proto_paths), format_each = "-I%s")
    args.add("--cpp_out=" + out_dir)
    args.add("--grpc_out=" + out_dir)
    args.add(ctx.executable._grpc_plugin, format = "--plugin=protoc-gen-grpc=%s")
    args.add("--descriptor_set_out=" + ctx.outputs.descriptor_set.path)
    args.add("--include_imports")
    args.add("--include_source_info")
    args.add_all(ctx.files.srcs)

    generated = []
    for path in ctx.attr.proto_paths:
        stem = path[:-len(".proto")]
        for suffix in [".pb.h", ".pb.cc", ".grpc.pb.h", ".grpc.pb.cc"]:
            generated.append(ctx.actions.declare_file(stem + suffix))
    ctx.actions.run(
        executable = ctx.executable._protoc,
        arguments = [args],
        inputs = ctx.files.srcs,
        tools = [ctx.executable._grpc_plugin],
        outputs = generated + [ctx.outputs.descriptor_set],
        mnemonic = "Protoc",
        progress_message = "Compiling protos of //" + ctx.label.package,
    )
    headers = [f for f in generated if f.extension == "h"]
    sources = [f for f in generated if f.extension == "cc"]
    return [
        DefaultInfo(files = depset(generated)),
        OutputGroupInfo(headers = depset(headers), sources = depset(sources)),
    ]

_cc_proto_sources = rule(
    implementation = _cc_proto_sources_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"], mandatory = True),
        # What each source is imported as, in any order.
        "proto_paths": attr.string_list(mandatory = True),
        "descriptor_set": attr.output(mandatory = True),
        "_protoc": attr.label(
            default = "@system//:bin/protoc",
            executable = True,
            allow_single_file = True,
            cfg = "exec",
        ),
        "_grpc_plugin": attr.label(
            default = "@system//:bin/grpc_cpp_plugin",
            executable = True,
            allow_single_file = True,
            cfg = "exec",
        ),
    },
)

def cc_grpc_library(name, protos, system_protos = {}, visibility = None):
    """Messages, stubs and services of several .proto files in one library, and their descriptors in NAME.binpb.

    Args:
      name: the cc_library.
      protos: files under this package, imported by their path within it.
      system_protos: labels of .proto files elsewhere, each with the path that it is imported as.
      visibility: of the library and of the descriptors.
    """
    _cc_proto_sources(
        name = name + "_generated",
        srcs = protos + system_protos.keys(),
        proto_paths = protos + system_protos.values(),
        descriptor_set = name + ".binpb",
        visibility = visibility,
    )
    for group in ["headers", "sources"]:
        native.filegroup(
            name = name + "_" + group,
            srcs = [name + "_generated"],
            output_group = group,
        )
    native.cc_library(
        name = name,
        srcs = [name + "_sources"],
        hdrs = [name + "_headers"],
        # Generated headers include each other by their import paths.
        includes = ["."],
        visibility = visibility,
        deps = ["@system//:grpc++"],
    )
