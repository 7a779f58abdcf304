"""Runs clang-tidy on every .cc file of ours, as Bazel actions: only what changed is checked again.

    bazel build --config=opt --config=tidy //...

An aspect sees each cc_* target with the include paths and generated headers that the compiler gets, so no
compile_commands.json is needed, and a verdict is kept in the disk cache as an object file is.
"""

def _compilation_contexts(target, rule):
    if CcInfo in target:
        return [target[CcInfo].compilation_context]
    return [dep[CcInfo].compilation_context for dep in getattr(rule.attr, "deps", []) if CcInfo in dep]

def _flags(contexts, rule):
    flags = ["-std=c++20", "-Wall", "-Wextra"] + getattr(rule.attr, "copts", [])
    defines = list(getattr(rule.attr, "local_defines", []))
    for context in contexts:
        defines += context.defines.to_list()
        flags += ["-iquote" + path for path in context.quote_includes.to_list()]
        flags += ["-isystem" + path for path in context.system_includes.to_list()]
        flags += ["-I" + path for path in context.includes.to_list()]
    return flags + ["-D" + define for define in defines]

def _clang_tidy_impl(target, ctx):
    rule = ctx.rule
    if rule.kind not in ("cc_library", "cc_binary", "cc_test") or target.label.workspace_name:
        return []
    own_files = [file for source in rule.attr.srcs for file in source.files.to_list()]
    contexts = _compilation_contexts(target, rule)
    flags = _flags(contexts, rule)

    verdicts = []
    for source in own_files:
        # Generated code is not ours to mend.
        if source.extension != "cc" or not source.is_source:
            continue
        verdict = ctx.actions.declare_file("%s.%s.tidy" % (target.label.name, source.basename))
        ctx.actions.run_shell(
            mnemonic = "ClangTidy",
            progress_message = "Checking %s" % source.short_path,
            inputs = depset(
                own_files + [ctx.file._config],
                transitive = [context.headers for context in contexts],
            ),
            outputs = [verdict],
            # On success nothing is said: clang-tidy's count of warnings that it hid in system headers is noise.
            command = """
                config=$1 source=$2 verdict=$3; shift 3
                # The analyser takes a third of the time; in tests, the sanitizers find what it would.
                case "$source" in tests/*) checks=-clang-analyzer-* ;; *) checks= ;; esac
                clang-tidy --quiet --config-file="$config" --checks="$checks" "$source" -- -iquote. "$@" >"$verdict" 2>"$verdict.noise" && exit
                sed "s|$PWD/||" "$verdict" "$verdict.noise" >&2
                exit 1
            """,
            arguments = [ctx.file._config.path, source.path, verdict.path] + flags,
            use_default_shell_env = True,
        )
        verdicts.append(verdict)
    return [OutputGroupInfo(clang_tidy = depset(verdicts))]

clang_tidy = aspect(
    implementation = _clang_tidy_impl,
    attrs = {
        "_config": attr.label(allow_single_file = True, default = "//:.clang-tidy"),
    },
)
