"""Builds fuzz targets with clang and libFuzzer, beside GCC, which builds everything else.

An aspect follows the same deps and compiles each .cc file of ours again, with AddressSanitizer, UndefinedBehaviorSanitizer
and coverage; a fuzz_binary links what it finds. There is no list of sources to go stale, and objects are kept in the disk
cache as any others are.
"""

_SANITIZERS = "address,undefined"
_COMPILE = ["-std=c++20", "-O1", "-g1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined", "-w"]

_Objects = provider(doc = "What clang made of a target and its deps.", fields = ["objects", "link_flags"])

def _include_flags(context):
    return (["-D" + define for define in context.defines.to_list()] +
            ["-iquote" + path for path in context.quote_includes.to_list()] +
            ["-isystem" + path for path in context.system_includes.to_list()] +
            ["-I" + path for path in context.includes.to_list()])

def _objects_impl(target, ctx):
    below = [dep[_Objects] for dep in getattr(ctx.rule.attr, "deps", []) if _Objects in dep]
    objects = []
    if CcInfo in target and ctx.rule.kind == "cc_library" and not target.label.workspace_name:
        context = target[CcInfo].compilation_context
        own_files = [file for source in ctx.rule.attr.srcs for file in source.files.to_list()]
        for source in [file for file in own_files if file.extension == "cc"]:
            object = ctx.actions.declare_file("%s.%s.fuzz.o" % (target.label.name, source.basename))
            ctx.actions.run(
                mnemonic = "FuzzCompile",
                executable = "/usr/bin/clang++",
                arguments = _COMPILE + ["-fsanitize=fuzzer-no-link," + _SANITIZERS] + ctx.rule.attr.copts +
                            ["-iquote."] + _include_flags(context) + ["-c", source.path, "-o", object.path],
                inputs = depset(own_files, transitive = [context.headers]),
                outputs = [object],
                use_default_shell_env = True,
            )
            objects.append(object)
    link_flags = getattr(ctx.rule.attr, "linkopts", [])
    return [_Objects(
        objects = depset(objects, transitive = [one.objects for one in below]),
        link_flags = depset(link_flags, transitive = [one.link_flags for one in below], order = "topological"),
    )]

_objects = aspect(implementation = _objects_impl, attr_aspects = ["deps"])

def _fuzz_binary_impl(ctx):
    objects = depset(transitive = [dep[_Objects].objects for dep in ctx.attr.deps]).to_list()
    link_flags = depset(
        transitive = [dep[_Objects].link_flags for dep in ctx.attr.deps],
        order = "topological",
    ).to_list()
    binary = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run(
        mnemonic = "FuzzLink",
        executable = "/usr/bin/clang++",
        arguments = ["-fsanitize=fuzzer," + _SANITIZERS, "-o", binary.path] +
                    [object.path for object in objects] + link_flags + ["-lpthread"],
        inputs = objects,
        outputs = [binary],
        use_default_shell_env = True,
    )
    return [DefaultInfo(executable = binary, files = depset([binary]))]

_fuzz_binary = rule(
    implementation = _fuzz_binary_impl,
    attrs = {"deps": attr.label_list(aspects = [_objects])},
    executable = True,
)

def fuzz_target(name, srcs, deps, seconds):
    """A fuzz target, and a test that runs its corpus and then fuzzes for `seconds`.

    Args:
      name: NAME_fuzz is the program, NAME_fuzz_test the test, and corpus/NAME/ holds the corpus.
      srcs: define LLVMFuzzerTestOneInput. GCC and clang-tidy see them as a library.
      deps: libraries of ours.
      seconds: how long the test fuzzes.
    """
    native.cc_library(
        name = name + "_entry",
        testonly = True,
        srcs = srcs,
        deps = deps,
    )
    # They bring sanitizers of their own, whatever the rest is built with.
    tags = ["noasan", "notsan"]
    _fuzz_binary(
        name = name + "_fuzz",
        testonly = True,
        tags = tags,
        deps = [":" + name + "_entry"],
    )
    corpus = native.glob(["corpus/" + name + "/*"])
    native.sh_test(
        name = name + "_fuzz_test",
        size = "medium",
        srcs = ["fuzz_test.sh"],
        args = ["$(rootpath :" + name + "_fuzz)", "tests/fuzz/corpus/" + name, str(seconds)],
        data = [":" + name + "_fuzz"] + corpus,
        tags = tags,
    )
