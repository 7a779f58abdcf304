"""A test of the library with its crash points compiled in (shm/os/crash_point.h).

Everything below the test is built once more, with PYLABHUB_CRASH_POINTS: so no test can mix the two builds, no source is
listed twice, and what is shipped is never touched.
"""

_COPT = "//command_line_option:copt"

def _crash_points_transition_impl(settings, _attr):
    return {_COPT: settings[_COPT] + ["-DPYLABHUB_CRASH_POINTS"]}

_crash_points_transition = transition(
    implementation = _crash_points_transition_impl,
    inputs = [_COPT],
    outputs = [_COPT],
)

def _crash_points_test_impl(ctx):
    test = ctx.attr.test[0][DefaultInfo]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = executable, target_file = test.files_to_run.executable, is_executable = True)
    return [DefaultInfo(executable = executable, runfiles = test.default_runfiles)]

# Runs `test`, a statically linked cc_test tagged `manual`, as it is when built with crash points.
crash_points_test = rule(
    implementation = _crash_points_test_impl,
    test = True,
    attrs = {
        "test": attr.label(
            mandatory = True,
            cfg = _crash_points_transition,
            executable = True,
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
