/** How the real guest treats processes of the VM, and the VM itself. */
import { infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const systemNotFound = { hresult: 0xc037010e, hresultName: "HCS_E_SYSTEM_NOT_FOUND" };
const elementNotFound = { hresult: 0x80070490, hresultName: "ERROR_NOT_FOUND" };
const endedBySignal = 0xffffffff;

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("processes of the VM", () => {
  let machine: Machine;

  machineForSuite("crun", (booted) => {
    machine = booted;
  });

  const signal = (ProcessId: number, Signal = 9) =>
    machine.client.request("signalProcess", uvmContainerId, { ProcessId, Options: { Signal } });
  const resize = (ProcessId: number) =>
    machine.client.request("resizeConsole", uvmContainerId, { ProcessId, Height: 24, Width: 80 });
  const wait = (ProcessId: number, TimeoutInMs: number = infiniteTimeout) =>
    machine.client.request("waitForProcess", uvmContainerId, { ProcessId, TimeoutInMs });

  it("can be neither signalled nor resized", async () => {
    const process = await machine.execute(uvmContainerId, { CommandArgs: ["cat"] });
    for (const number of [9, 15]) await expect(signal(process.pid, number)).rejects.toMatchObject(systemNotFound);
    await expect(resize(process.pid)).rejects.toMatchObject(systemNotFound);
    process.stdin.write("still here\n");
    await process.stdout.until("still here");
    process.stdin.end();
    expect(await process.exit).toBe(0);
    await expect(signal(process.pid)).rejects.toMatchObject(systemNotFound);
  });

  it("that do not exist give the same error for a signal, and another one for a wait", async () => {
    await expect(signal(4_000_000)).rejects.toMatchObject(systemNotFound);
    await expect(resize(4_000_000)).rejects.toMatchObject(systemNotFound);
    await expect(wait(4_000_000)).rejects.toMatchObject(elementNotFound);
  });

  it("end when their input ends", async () => {
    const { stdin, exit } = await machine.execute(uvmContainerId, { CommandArgs: ["cat"] });
    stdin.destroy();
    expect(await exit).toBe(0);
  });

  it("end by SIGPIPE when the host has closed their output, with the code -1", async () => {
    const { stdout, stderr, exit } = await machine.execute(uvmContainerId, {
      CommandArgs: ["sh", "-c", "while :; do echo more; done"],
      CreateStdInPipe: false,
    });
    await stdout.until("more");
    stdout.socket.destroy();
    stderr?.socket.destroy();
    expect(await exit).toBe(endedBySignal);
  });

  it("report their exit code, and -1 for every signal", async () => {
    expect((await machine.inGuest(["sh", "-c", "exit 3"])).code).toBe(3);
    expect((await machine.inGuest(["sh", "-c", "kill -9 $$"])).code).toBe(endedBySignal);
    expect((await machine.inGuest(["sh", "-c", "kill -15 $$"])).code).toBe(endedBySignal);
  });

  it("are waited for until the host's timeout", async () => {
    const { pid, stdin, exit } = await machine.execute(uvmContainerId, { CommandArgs: ["cat"] });
    await expect(wait(pid, 10)).rejects.toMatchObject({ hresult: 0xc0370109, hresultName: "HCS_E_CONNECTION_TIMEOUT" });
    stdin.end();
    expect(await exit).toBe(0);
  });

  it("are not listed: the VM has no properties, and a query is an error", async () => {
    const ask = (Query: string) => machine.client.request("getProperties", uvmContainerId, { Query });
    for (const query of ["", '{"PropertyTypes":["ProcessList"]}']) {
      await expect(ask(query)).rejects.toMatchObject({ hresult: 0x80004005, hresultName: "E_FAIL", gone: false });
    }
    await expect(ask("no query")).rejects.toMatchObject({ hresult: 0xc037010d, hresultName: "HCS_E_INVALID_JSON" });
  });
});
