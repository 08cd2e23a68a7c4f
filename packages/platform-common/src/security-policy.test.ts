import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { securityPolicyOf, withCopies } from "./security-policy.ts";

describe("a security policy", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "security-policy-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const settings = () => ({
    policy: "e30=",
    enforcer: "rego",
    referenceInfoFile: join(folder, "reference.cose"),
    hashEnvelopeReferenceInfoFile: join(folder, "envelope.cose"),
    isolated: false,
    copies: [],
  });

  it("is passed unchanged, with the documents that exist", async () => {
    const policy = { EnforcerType: "rego", EncodedSecurityPolicy: "e30=" };
    expect(await securityPolicyOf(settings())).toEqual(policy);
    writeFileSync(join(folder, "reference.cose"), "ref");
    expect(await securityPolicyOf(settings())).toEqual({ ...policy, EncodedUVMReference: "cmVm" });
    writeFileSync(join(folder, "envelope.cose"), "env");
    expect(await securityPolicyOf(settings())).toEqual({
      ...policy,
      EncodedUVMReference: "cmVm",
      EncodedUVMHashEnvelopeReference: "ZW52",
    });
  });

  it("is passed without documents and enforcer that are not configured", async () => {
    const none = { ...settings(), enforcer: "", referenceInfoFile: "", hashEnvelopeReferenceInfoFile: "" };
    expect(await securityPolicyOf(none)).toEqual({ EnforcerType: "", EncodedSecurityPolicy: "e30=" });
  });

  it("is not passed if a document cannot be read", async () => {
    mkdirSync(join(folder, "reference.cose"));
    await expect(securityPolicyOf(settings())).rejects.toThrow("EISDIR");
  });

  describe("with a VM that writes to its files", () => {
    const copies = () =>
      ["state", "root"].map((name) => ({ from: join(folder, name), to: join(folder, `own-${name}`) }));
    beforeEach(() => {
      for (const { from } of copies()) writeFileSync(from, from);
    });

    it("has copies of them, to which the VM gets access before it is created", async () => {
      const order: string[] = [];
      await withCopies(
        copies(),
        async (file) => void order.push(`grant ${file}`),
        async () => void order.push("create"),
      );
      expect(order).toEqual([...copies().map(({ to }) => `grant ${to}`), "create"]);
      for (const { from, to } of copies()) expect(readFileSync(to, "utf8")).toBe(from);
    });

    it.each(["copy", "grant", "create"])("leaves none when the %s fails", async (step) => {
      if (step === "copy") rmSync(join(folder, "root"));
      const failing = async () => {
        throw new Error("no");
      };
      const done = async () => {};
      await expect(
        withCopies(copies(), step === "grant" ? failing : done, step === "create" ? failing : done),
      ).rejects.toThrow(step === "copy" ? "ENOENT" : "no");
      expect(readdirSync(folder).filter((name) => name.startsWith("own-"))).toEqual([]);
      expect(existsSync(join(folder, "state"))).toBe(true);
    });
  });
});
