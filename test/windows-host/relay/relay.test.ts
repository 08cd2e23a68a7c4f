import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { hresults } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { answerLine, readCall, writeText } from "./lines.ts";
import { Relay } from "./relay.ts";
import { ntstatusOf, PreparedAnswers, readTestHostSettings } from "./test-host-settings.ts";
import { localDocument, localPath } from "./windows-paths.ts";

const loopback = "e0e16197-dd56-4a10-9195-5ee7a155a838";
const service = "0000004d-facb-11e6-bd58-64006a7986d3";

describe("lines", () => {
  it.each([undefined, "", "a", "ab", "é 漢 😀\t\n", "\ud800"])("keep the text %j", (text) => {
    expect(readCall(`7\tHcsX\t${writeText(text)}`)).toEqual({ id: "7", name: "HcsX", texts: [text] });
  });

  it("answer with unsigned numbers", () => {
    expect(answerLine("1", -1, undefined)).toBe("1\t4294967295\t-\n");
  });
});

describe("paths", () => {
  it("are those of this machine on drive Z:", () => {
    expect(localPath("Z:\\tmp\\a b\\c")).toBe("/tmp/a b/c");
    expect(localPath("\\\\?\\z:\\tmp")).toBe("/tmp");
    expect(localPath("\\\\?\\unix\\tmp\\x")).toBe("/tmp/x");
    expect(() => localPath("C:\\Windows")).toThrow(/drive Z:/);
    expect(() => localPath(undefined)).toThrow(/drive Z:/);
  });

  it("are found wherever they stand in a document", () => {
    const text = '{"Path":"Z:\\\\a\\\\b","List":[{"Other":"PCIP\\\\VEN_1"}],"Number":1}';
    expect(localDocument(text)).toEqual({ Path: "/a/b", List: [{ Other: "PCIP\\VEN_1" }], Number: 1 });
  });
});

describe("settings of the test host", () => {
  it("are read", () => {
    expect(readTestHostSettings('{"delayMs":5}')).toEqual({ delayMs: 5 });
    expect(() => readTestHostSettings('{"delay":5}')).toThrow(/unknown setting delay: expected one of /);
  });

  it("know the other form of a result", () => {
    expect(ntstatusOf(hresults.HCS_E_INVALID_STATE)).toBe(0xc0370105);
    expect(ntstatusOf(hresults.HCS_E_OPERATION_PENDING)).toBe(0xc0370103);
    expect(ntstatusOf(hresults.E_INVALIDARG)).toBe(hresults.E_INVALIDARG);
  });

  it("give an answer as often as it is prepared", () => {
    const prepared = new PreparedAnswers([{ function: "HcsX", document: "a", times: 2 }]);
    expect(prepared.take("HcsY")).toBeUndefined();
    expect([prepared.take("HcsX"), prepared.take("HcsX"), prepared.take("HcsX")]).toEqual([
      expect.objectContaining({ document: "a" }),
      expect.objectContaining({ document: "a" }),
      undefined,
    ]);
  });
});

describe("the relay", () => {
  let folder: string;
  let relay: Relay;
  let socket: Socket;
  let answers: AsyncIterator<string>;
  let calls = 0;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "relay-"));
    relay = await Relay.start({ folder, host: { socketPath: join(folder, "nobody.sock") } });
    socket = connect(Number(readFileSync(join(folder, "test-host.port"), "utf8")), "127.0.0.1");
    await once(socket, "connect");
    answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  });
  afterEach(async () => {
    socket.destroy();
    await relay[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** The answer of a call, as the DLL reads it. */
  async function ask(name: string, ...texts: (string | undefined)[]): Promise<{ hresult: number; document?: string }> {
    calls++;
    socket.write(`${[calls, name, ...texts.map(writeText)].join("\t")}\n`);
    const { value = "" } = await answers.next();
    const [id, hresult = "", document = "-"] = value.split("\t");
    expect(id).toBe(String(calls));
    const {
      texts: [text],
    } = readCall(`0\t0\t${document}`);
    return { hresult: Number(hresult), ...(text !== undefined && { document: text }) };
  }

  it("names what it does not emulate", async () => {
    const { hresult, document = "" } = await ask("HcsSubmitWerReport", "{}");
    expect(hresult).toBe(hresults.E_NOTIMPL);
    expect(JSON.parse(document)).toEqual({
      Error: hresults.E_NOTIMPL | 0,
      ErrorMessage: "HcsSubmitWerReport is not emulated",
    });
  });

  it("has an error record of its own for networks", async () => {
    const { document = "" } = await ask("HcnModifyNetwork", "x", "{}");
    expect(JSON.parse(document)).toMatchObject({ Success: false, ErrorCode: hresults.E_NOTIMPL });
  });

  it("says that there is no host", async () => {
    expect(await ask("HcsEnumerateComputeSystems", undefined)).toMatchObject({
      hresult: hresults.HCS_E_SERVICE_NOT_AVAILABLE,
    });
    expect(await ask("HcsStartComputeSystem", "4", undefined)).toMatchObject({ hresult: hresults.E_INVALIDARG });
    expect(await ask("HcsEnumerateComputeSystems", "{")).toMatchObject({ hresult: hresults.HCS_E_INVALID_JSON });
  });

  it("passes settings on to the DLL", async () => {
    const settings = { callbacks: "racingClose", outOfMemoryAt: 3, sleep: { function: "HcsX", milliseconds: 9 } };
    expect(await ask("configure", JSON.stringify(settings))).toEqual({ hresult: 0, document: "3 3 9 HcsX" });
    expect(await ask("configure", '{"answers":[{"function":"HcsX","document":""}]}')).toMatchObject({ hresult: 0 });
    expect(await ask("HcsX")).toEqual({ hresult: 0, document: "" });
    expect(await ask("HcsX")).toMatchObject({ hresult: hresults.E_NOTIMPL });
  });

  it("knows who listens for whom", async () => {
    const listens = (id: string) => ask("hvsocketListen", id, loopback, service, "4711");
    expect(await listens("1")).toEqual({ hresult: 0 });
    expect(await listens("2")).toMatchObject({ hresult: hresults.ERROR_ALREADY_EXISTS });
    expect(await ask("hvsocketDial", loopback, service.toUpperCase())).toEqual({ hresult: 0, document: "4711" });
    await ask("hvsocketStop", "1");
    expect(await ask("hvsocketDial", loopback, service)).toMatchObject({ hresult: hresults.HCS_E_CONNECT_FAILED });
    expect(await ask("hvsocketDial", service, service)).toMatchObject({ hresult: hresults.ERROR_NOT_FOUND });
  });

  it("forgets what a process that ends had", async () => {
    await ask("hvsocketListen", "1", loopback, service, "4711");
    socket.destroy();
    await expect.poll(() => relay.services.size).toBe(0);
    expect(relay.sessions.size).toBe(0);
  });

  it("makes, opens and grows disks", async () => {
    const path = `Z:${join(folder, "disk.vhdx").replaceAll("/", "\\")}`;
    const child = path.replace("disk", "child");
    const mebibytes = (count: number): string => String(count * 2 ** 20);
    expect(await ask("CreateVirtualDisk", path, mebibytes(4), "0", "0")).toEqual({ hresult: 0 });
    expect(await ask("CreateVirtualDisk", path, mebibytes(4), "0", "0")).toMatchObject({ hresult: 0x80070050 });
    expect(await ask("ExpandVirtualDisk", path, mebibytes(8))).toEqual({ hresult: 0 });
    expect(await ask("ExpandVirtualDisk", path, mebibytes(4))).toMatchObject({ hresult: hresults.E_INVALIDARG });
    const size = await ask("GetVirtualDiskInformation", path, "1");
    expect(size.document).toMatch(new RegExp(`^${mebibytes(8)} \\d+ 2097152 512$`));
    expect(await ask("GetVirtualDiskInformation", path, "3")).toMatchObject({ hresult: 0xc03a001b });
    expect(await ask("CreateVirtualDisk", child, "0", "0", "0", path)).toEqual({ hresult: 0 });
    expect(await ask("GetVirtualDiskInformation", child, "3")).toEqual({ hresult: 0, document: `1 ${path}` });
    expect(await ask("GetVirtualDiskPhysicalPath", path)).toMatchObject({ hresult: 0x80070015 });
    expect(await ask("AttachVirtualDisk", path, "0")).toEqual({ hresult: 0 });
    expect(await ask("AttachVirtualDisk", path, "0")).toMatchObject({ hresult: hresults.ERROR_SHARING_VIOLATION });
    expect((await ask("GetVirtualDiskPhysicalPath", path)).document).toMatch(/^\\\\\.\\PhysicalDrive\d+$/);
    expect(await ask("DetachVirtualDisk", path, "0")).toEqual({ hresult: 0 });
    rmSync(join(folder, "disk.vhdx"));
    expect(await ask("GetVirtualDiskInformation", child, "3")).toEqual({ hresult: 0, document: `0 ${path}` });
    expect(await ask("OpenVirtualDisk", child, "open")).toMatchObject({ hresult: hresults.ERROR_FILE_NOT_FOUND });
    expect(await ask("OpenVirtualDisk", child, "inspect")).toEqual({ hresult: 0 });
  });
});
