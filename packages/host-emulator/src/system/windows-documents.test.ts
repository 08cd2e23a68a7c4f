import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type HresultName, hresults } from "@uvm-shim/hcs-schema";
import { afterAll, describe, expect, it } from "vitest";
import { asFailure } from "../hcs-failure.ts";
import { TestFiles } from "../testing/fake-guest.ts";
import { readDocument } from "./document.ts";

/** Documents of virtual machines that another implementation made for Windows, by the names of their cases. */
const documents = new Map(
  Object.entries(readGolden()).flatMap(([name, { document, sandbox }]) =>
    [document, sandbox].flatMap((found) => (isMachine(found) ? [[name, found] as const] : [])),
  ),
);

const isolated: readonly [HresultName, string] = ["ERROR_NOT_SUPPORTED", "VirtualMachine.GuestState: isolation"];
const noPartition: readonly [HresultName, string] = ["ERROR_NOT_FOUND", "VirtualMachine.ResourcePartitionId"];

/** What a host without a resource partition and without hardware for isolation refuses. */
const refused: { readonly [name: string]: readonly [HresultName, string] } = {
  "resource-partition": noPartition,
  "registry-values": ["HCS_E_INVALID_JSON", "RegistryChanges.AddValues[5].DWordValue"],
};

function refusalOf(name: string): readonly [HresultName, string] | undefined {
  return name.startsWith("confidential") || name === "standalone-policy" ? isolated : refused[name];
}

const files = new TestFiles();
afterAll(() => files.remove());

describe("a Windows VM's document", () => {
  it("is there to be read, in each of the forms", () => {
    expect(documents.size).toBeGreaterThanOrEqual(62);
    for (const name of Object.keys(refused)) expect([...documents.keys()]).toContain(name);
  });

  it.each([...documents.keys()].filter((name) => refusalOf(name) === undefined))("is accepted: %s", (name) => {
    expect(readDocument(onThisMachine(documents.get(name)))).toMatchObject({
      boot: { kind: "Windows", share: "os" },
      vsmb: { DirectFileMappingInMB: 1024, Shares: [{ Name: "os" }] },
      disks: [{ slot: { controller: 0, lun: 0 } }],
    });
  });

  it.each([...documents.keys()].filter((name) => refusalOf(name) !== undefined))("is refused: %s", (name) => {
    const [result, message] = refusalOf(name) ?? ["S_OK", ""];
    const failure = asFailure(thrownBy(() => readDocument(onThisMachine(documents.get(name)))));
    expect(failure).toMatchObject({ hresult: hresults[result] });
    expect(failure.message).toContain(message);
  });
});

function readGolden(): { readonly [name: string]: { readonly document?: unknown; readonly sandbox?: unknown } } {
  return JSON.parse(
    readFileSync(new URL("../../../../test/src/windows-documents/golden.json", import.meta.url), "utf8"),
  );
}

function isMachine(document: unknown): boolean {
  return typeof document === "object" && document !== null && "VirtualMachine" in document;
}

/** The document with paths of Windows below the test's directory, where everything that they name exists. */
function onThisMachine(document: unknown): unknown {
  return JSON.parse(JSON.stringify(document), (key, value: unknown) => {
    if (typeof value !== "string" || !/^C:\\/i.test(value) || key.endsWith("FileName")) return value;
    const path = join(files.directory, value.replaceAll("\\", "/").replace(":", ""));
    if (/\.[a-z]+$/i.test(path)) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, "");
    } else {
      mkdirSync(join(path, "EFI/Microsoft/Boot"), { recursive: true });
      writeFileSync(join(path, "EFI/Microsoft/Boot/bootmgfw.efi"), "");
    }
    return path;
  });
}

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("it was accepted");
}
