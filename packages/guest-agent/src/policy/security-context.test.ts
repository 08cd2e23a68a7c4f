import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withSecurityContext } from "./security-context.ts";

describe("the security context of a container", () => {
  let bundle: string;
  beforeEach(() => {
    bundle = mkdtempSync(join(tmpdir(), "security-context-"));
  });
  afterEach(() => rmSync(bundle, { recursive: true }));

  const spec = { ociVersion: "1.0.2", process: { cwd: "/", env: ["A=1"] }, mounts: [] };
  const policy = { EnforcerType: "rego", EncodedSecurityPolicy: "e30=" };
  const folder = (): string => join(bundle, "security-context");

  it("is a read-only folder, named in the environment", () => {
    const given = withSecurityContext(spec, "c1", bundle, policy);
    expect(given.process?.env).toEqual(["A=1", "UVM_SECURITY_CONTEXT_DIR=/security-context-c1"]);
    expect(given.mounts).toEqual([
      { destination: "/security-context-c1", type: "bind", source: folder(), options: ["bind", "ro"] },
    ]);
    expect(readdirSync(folder())).toEqual(["security-policy-base64"]);
    expect(readFileSync(join(folder(), "security-policy-base64"), "utf8")).toBe("e30=");
  });

  it("contains the reference information that the host gave", () => {
    const withReferences = { ...policy, EncodedUVMReference: "cmVm", EncodedUVMHashEnvelopeReference: "ZW52" };
    withSecurityContext(spec, "c1", bundle, withReferences);
    expect(readFileSync(join(folder(), "reference-info-base64"), "utf8")).toBe("cmVm");
    expect(readFileSync(join(folder(), "transparent-reference-info-base64"), "utf8")).toBe("ZW52");
  });

  it("is absent without a policy, or if an annotation disables it", () => {
    const unwanted = { ...spec, annotations: { "io.microsoft.virtualmachine.lcow.securitypolicy.env": "false" } };
    expect(withSecurityContext(spec, "c1", bundle, undefined)).toBe(spec);
    expect(withSecurityContext(unwanted, "c1", bundle, policy)).toBe(unwanted);
    expect(readdirSync(bundle)).toEqual([]);
  });
});
