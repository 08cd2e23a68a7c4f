import { describe, expect, it } from "vitest";
import { requireOpenPolicy } from "./security-policy.ts";

const allowing = '{"allowed": true}';
const first = ["mount_device", "mount_overlay", "create_container"];
const tenth = [
  ...["unmount_device", "unmount_overlay", "exec_in_container", "exec_external", "shutdown_container"],
  ...["signal_container_process", "plan9_mount", "plan9_unmount", "get_properties", "dump_stacks"],
  ...["runtime_logging", "load_fragment", "scratch_mount", "scratch_unmount"],
];
const latest = ["rw_mount_device", "rw_unmount_device", "mount_blockdev", "unmount_blockdev", "host_network"];

function rules(names: readonly string[], version: string, more: readonly string[] = []): string {
  return [
    "package policy",
    `api_version := "${version}"`,
    ...names.map((name) => `${name} := ${allowing}`),
    ...more,
  ].join("\n");
}

const take = (policy: string, EnforcerType = "rego") =>
  requireOpenPolicy({ EnforcerType, EncodedSecurityPolicy: Buffer.from(policy).toString("base64") });

describe("a policy", () => {
  it.each([
    ["of the first interface", rules(first, "0.1.0")],
    [
      "with values that take nothing away",
      rules([...first.slice(0, 2), ...tenth], "0.10.0", [
        'create_container := {"allowed": true, "env_list": null, "allow_stdio_access": true}',
      ]),
    ],
    ["of the latest interface", rules([...first, ...tenth, ...latest], "0.12.0", ['mount_cims := {"allowed": false}'])],
    ["with comments and empty lines", `# everything\n\n${rules(first, "0.1.0", [" # the end"])} # of it\n`],
  ])("%s that allows everything is accepted", (_, policy) => {
    expect(() => take(policy)).not.toThrow();
    expect(() => take(policy, "")).not.toThrow();
  });

  it("may deny programs of the VM itself and the guest's stacks, and nothing else", () => {
    const deny = (name: string) =>
      rules([...first, ...tenth.filter((each) => each !== name)], "0.10.0", [`${name} := {"allowed": false}`]);
    expect([...take(deny("exec_external"))]).toEqual(["exec_external"]);
    expect([...take(deny("dump_stacks"))]).toEqual(["dump_stacks"]);
    expect(() => take(deny("exec_in_container"))).toThrow("exec_in_container does not allow everything");
    expect([...take(rules(first, "0.1.0"))]).toEqual([]);
  });

  it.each([
    ["number signs in a line", `x ${" #".repeat(500_000)}"`, "line 3 is more than a constant"],
    ["spaces before an unexpected character", `x := ${" ".repeat(1_000_000)}b\rc`, "x is more than a constant"],
  ])("of a megabyte is read quickly: %s", (_, line, problem) => {
    expect(() => take(`package policy\napi_version := "0.1.0"\n${line}`)).toThrow(problem);
  });

  it.each([
    ['x := "a # b"', "a # b"],
    ["x := 1 # one # two", 1],
    ['x := "# a" # b', "# a"],
    ["x := 1#2", undefined],
  ])("with the comment in %j is read without it", (line, value) => {
    const read = () => take(rules(first, "0.1.0", [line]));
    if (value === undefined) expect(read).toThrow("x is more than a constant");
    else expect(read).not.toThrow();
  });

  it("that is empty is accepted as an open door, unless the enforcer is rego", () => {
    expect(() => take("", "")).not.toThrow();
    expect(() => take("", "open_door")).not.toThrow();
  });

  it.each([
    [rules(first.slice(1), "0.1.0"), "mount_device does not allow everything"],
    [rules(first, "0.2.0"), "unmount_device does not allow everything"],
    [rules([...first, ...tenth], "0.11.0"), "rw_mount_device does not allow everything"],
    [rules(first, "0.1.0", ['exec_in_container := {"allowed": false}']), "exec_in_container does not allow everything"],
    [rules(first, "0.1.0", ['exec_in_container := {"allowed": "true"}']), "exec_in_container does not allow"],
    [rules(first, "0.1.0", ['plan9_mount := {"allowed": true, "env_list": ["A=1"]}']), "plan9_mount does not allow"],
    [rules(first, "0.1.0", ['exec_external := {"allowed": true, "constructor": 1}']), "exec_external does not allow"],
    [rules(first, "0.1.0", ["exec_external := data.framework.exec_external"]), "exec_external is more than a constant"],
    [rules(first, "0.1.0", [`exec_external := ${allowing} { false }`]), "exec_external is more than a constant"],
    [rules(first, "0.1.0", ["allow { true }"]), "line 6 is more than a constant"],
  ])("%j that does not allow everything is refused, since it would not be enforced", (policy, problem) => {
    const message = `Request.Settings.EncodedSecurityPolicy: ${problem}`;
    expect(() => take(policy)).toThrow(expect.objectContaining({ hresultName: "ERROR_NOT_SUPPORTED" }));
    expect(() => take(policy)).toThrow(message);
    expect(() => take(policy)).toThrow(
      "this guest enforces no rules, and accepts only a policy that allows everything",
    );
  });

  it.each([
    ["{", "rego", 'it does not begin with "package policy"'],
    ['{"allow_all": true}', "rego", 'it does not begin with "package policy"'],
    [rules(first, "0.1.0"), "open_door", "the enforcer open_door accepts no policy"],
    ["", "rego", 'it does not begin with "package policy"'],
    ['api_version := "0.1.0"', "rego", 'it does not begin with "package policy"'],
    ["package policy", "rego", "api_version is missing"],
    [rules(first, "1"), "rego", "api_version is missing or invalid: expected a version such as 0.10.0"],
    [rules(first, "0.1.0", [`mount_device := ${allowing}`]), "rego", "mount_device is defined twice"],
    [rules(first, "0.1.0"), "standard", 'Request.Settings.EnforcerType "standard": expected one of rego, open_door'],
  ])("%j for the enforcer %s is refused as malformed", (policy, enforcer, message) => {
    expect(() => take(policy, enforcer)).toThrow(expect.objectContaining({ hresultName: "E_FAIL" }));
    expect(() => take(policy, enforcer)).toThrow(message);
  });
});
