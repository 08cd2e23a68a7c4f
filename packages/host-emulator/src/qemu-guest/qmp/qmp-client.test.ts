import { closeSync, openSync, readdirSync } from "node:fs";
import { hresults } from "@uvm-shim/hcs-schema";
import { abortable } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { HcsFailure } from "../../hcs-failure.ts";
import { FakeQemu } from "../testing/fake-qemu.ts";
import { QmpClient } from "./qmp-client.ts";

const never = new AbortController().signal;
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

describeWith("Linux")("a QMP client", () => {
  let clock: ManualClock;
  let qemu: FakeQemu;
  let client: QmpClient;
  let failures: HcsFailure[];

  beforeEach(() => {
    clock = new ManualClock();
    qemu = new FakeQemu();
    failures = [];
    client = new QmpClient(qemu.client, { clock, answerTimeoutMs: 1000, failed: (error) => failures.push(error) });
  });
  afterEach(() => {
    qemu.die();
    qemu.client.close();
    expect(clock.sleepers).toBe(0);
  });

  it("greets, leaves the negotiation, and tells answers apart by their ids", async () => {
    expect(await client.start()).toBe("7.2.22");
    const answers = await Promise.allSettled([client.execute("query-balloon"), client.execute("nonsense")]);
    expect(answers).toMatchObject([
      { value: { actual: 256 * 2 ** 20 } },
      {
        reason: {
          name: "QmpError",
          errorClass: "CommandNotFound",
          message: "QEMU refused nonsense: The command nonsense has not been found",
        },
      },
    ]);
    expect(failures).toEqual([]);
  });

  it("hears events between answers, also one that precedes the answer of its command", async () => {
    qemu.devices.set("disk", { driver: "scsi-hd" });
    await client.start();
    const heard: string[] = [];
    const stop = client.listen(({ name }) => heard.push(name));
    const deleted = client.awaitEvent(({ name, data }) => name === "DEVICE_DELETED" && data.device === "disk", never);
    await client.execute("device_del", { id: "disk" });
    expect(await deleted).toEqual({ name: "DEVICE_DELETED", data: expect.objectContaining({ device: "disk" }) });
    stop();
    await client.execute("cont");
    expect(heard).toEqual(["DEVICE_DELETED"]);
  });

  it("sends a copy of a descriptor with its command", async () => {
    const file = openSync(import.meta.filename, "r");
    await client.start();
    const before = openDescriptors();
    const { "fdset-id": set } = (await client.execute("add-fd", {}, file)) as { "fdset-id": number };
    closeSync(file);
    await client.execute("blockdev-add", { "node-name": "n", file: { filename: `/dev/fdset/${set}` } });
    expect(qemu.fileOf("n")).toBe(import.meta.filename);
    expect(openDescriptors()).toBe(before);
    await expect(client.execute("add-fd")).rejects.toThrow("No file descriptor supplied");
  });

  it("rejects all that waits when QEMU dies, and all that comes later", async () => {
    await client.start();
    qemu.faults.set(1, "dies");
    const waiting = [client.execute("stop"), client.awaitEvent(() => true, never), client.execute("cont")];
    const gone = { hresult: hresults.HCS_E_CONNECTION_CLOSED, message: "QEMU has closed its monitor" };
    expect(await Promise.allSettled(waiting)).toMatchObject([{ reason: gone }, { reason: gone }, { reason: gone }]);
    await expect(client.execute("stop")).rejects.toMatchObject(gone);
    expect(failures).toHaveLength(1);
  });

  it("keeps the reason that it is given", async () => {
    const starting = client.start();
    client.fail({ message: "QEMU was killed by SIGKILL" } as HcsFailure);
    await expect(starting).rejects.toMatchObject({ message: "QEMU was killed by SIGKILL" });
    qemu.die();
    await expect(client.execute("stop")).rejects.toMatchObject({ message: "QEMU was killed by SIGKILL" });
  });

  it("fails when an answer does not come in time, since its command may still have its effect", async () => {
    await client.start();
    qemu.faults.set(1, "is silent");
    const asked = client.execute("stop");
    const outcome = Promise.allSettled([asked]);
    await clock.advance(1000);
    expect(await outcome).toMatchObject([
      { reason: { hresult: hresults.HCS_E_OPERATION_TIMEOUT, message: "QEMU did not answer stop within 1000 ms" } },
    ]);
    expect(failures).toHaveLength(1);
  });

  it.each([
    ["a line without end", "x".repeat((1 << 20) + 1), "line exceeds"],
    ["no object", "[]\r\n", "expected an object"],
    ["no JSON", "{\r\n", "QMP message"],
    ["too deep", `${"[".repeat(20)}${"]".repeat(20)}\r\n`, "expected at most 16 levels"],
    [
      "an error without id",
      `{"error": {"class": "GenericError", "desc": "Invalid\\u0007JSON"}}\r\n`,
      "could not read a command: Invalid JSON",
    ],
  ])("gives up on %s", async (_, text, why) => {
    await client.start();
    const waiting = client.awaitEvent(() => false, never);
    for (let at = 0; at < text.length && failures.length === 0; at += 50_000) {
      qemu.say(text.slice(at, at + 50_000));
      await new Promise((resolve) => void setImmediate(resolve));
    }
    await expect(waiting).rejects.toMatchObject({
      hresult: hresults.HCS_E_PROTOCOL_ERROR,
      message: expect.stringContaining(why),
    });
  });

  it("ignores what it does not know: answers of nobody, and other messages", async () => {
    await client.start();
    qemu.say(`{"return": 1, "id": 77}\r\n{"error": {"class": "X", "desc": "y"}, "id": 78}\r\n{"other": 1}\r\n`);
    await client.execute("cont");
    expect(failures).toEqual([]);
  });

  it("stops waiting for an event when its caller does", async () => {
    const abort = new AbortController();
    const waiting = abortable(client.awaitEvent(() => true, abort.signal));
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});
