import { readFileSync } from "node:fs";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { NtExecutable, NtExecutableResource, Resource } from "resedit";
import { describe, expect } from "vitest";
import { runtimeOf } from "./targets.ts";
import { editResources } from "./windows-resources.ts";

describe("the resources of an executable", () => {
  const title = "are the program's version and a manifest that allows long paths, without an icon";
  itWith(title, "Node for Windows")(title, () => {
    const program = { name: "a-program", version: "1.2.3-rc.4", description: "what it is" };
    const edited = editResources(readFileSync(runtimeOf("win32-x64")), program);
    const { entries } = NtExecutableResource.from(NtExecutable.from(edited));
    const [version] = Resource.VersionInfo.fromEntries(entries);
    expect(version?.fixedInfo).toMatchObject({ fileVersionMS: 0x10002, fileVersionLS: 0x30000 });
    expect(version?.getStringValues({ lang: 1033, codepage: 1200 })).toMatchObject({
      FileDescription: "what it is",
      FileVersion: "1.2.3-rc.4",
      OriginalFilename: "a-program.exe",
    });
    const types = entries.map(({ type }) => type);
    expect(types).not.toContain(3);
    expect(types).not.toContain(14);
    const manifest = Buffer.from(new Uint8Array(entries.find(({ type }) => type === 24)?.bin ?? [])).toString();
    expect(manifest).toMatch(/<longPathAware [^>]*>true<\/longPathAware>.*<\/assembly>\s*$/s);
  });
});
