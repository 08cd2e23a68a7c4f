/**
 * How processes end in the reference's Linux guest, as microsoft/hcsshim's guest of August 2026 (7c9ff7f48) does it:
 * this guest is no more helpful, so that a host which works with it works with that one.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { checkCgroupMetrics, type OciProcess } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it, vi } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const mebibyte = 1024 * 1024;
/** What would come at once, had it not to wait for the host, has come after so long. */
const waitMs = 300;

const shell = (script: string): OciProcess => ({ args: ["sh", "-c", script], cwd: "/", env: ["PATH=/bin"] });

/** What a promise has come to within the time that it needs if nothing holds it up. */
async function soon<T>(promise: Promise<T>): Promise<T | "not yet"> {
  return await Promise.race([promise, delay(waitMs, "not yet" as const)]);
}

describeWith("root", "crun", "runc", "busybox").each(["crun", "runc"] as const)(
  "the manners of exits with %s",
  (runtime) => {
    let machine: Machine;

    machineForSuite(runtime, async (booted) => {
      machine = booted;
      machine.keepsOutputs = true;
      await machine.createContainer("host", { args: ["sleep", "1000"] });
      await machine.execute("host");
    });

    const remove = async (id: string): Promise<void> => {
      await machine.deleteContainer(id);
    };
    const typesOf = (id: string): readonly string[] =>
      machine.notifications.filter(({ containerId }) => containerId === id).map(({ type }) => type);
    const pids = async (id: string): Promise<readonly number[]> => {
      const Query = '{"PropertyTypes":["ProcessList"]}';
      const { Properties } = await machine.client.request("getProperties", id, { Query });
      return (JSON.parse(Properties) as { ProcessList: { ProcessId: number }[] }).ProcessList.map((of) => of.ProcessId);
    };

    describe("exits", () => {
      it("B1: an init and an exec half-close their outputs, wait for the host's close, and answer then", async () => {
        await machine.createContainer("waits", { args: ["sh", "-c", "read line; echo out; echo err >&2; exit 3"] });
        const init = await machine.execute("waits");
        const added = await machine.execute("waits", { OCIProcess: shell("echo out; echo err >&2; exit 3") });
        init.stdin.write("\n");
        for (const { stdout, stderr, exit } of [added, init]) {
          expect((await stdout.all).toString()).toBe("out\n");
          expect((await stderr?.all)?.toString()).toBe("err\n");
          expect(await soon(exit)).toBe("not yet");
          stdout.socket.end();
          expect(await soon(exit)).toBe("not yet");
          stderr?.socket.end();
          expect(await exit).toBe(3);
        }
        await remove("waits");
      });

      it("B1: an output that is closed before the end is half-closed then, and its host's close is waited for", async () => {
        const added = await machine.execute("host", { OCIProcess: shell("exec >&- 2>&-; read line; exit 4") });
        await Promise.all([added.stdout.all, added.stderr?.all]);
        added.stdout.socket.end();
        added.stdin.write("\n");
        expect(await soon(added.exit)).toBe("not yet");
        added.stderr?.socket.end();
        expect(await added.exit).toBe(4);
      });

      it("B1: a terminal's connections are closed without waiting for the host, once all has been taken", async () => {
        const added = await machine.execute("host", {
          CreateStdErrPipe: false,
          OCIProcess: { ...shell("echo out; exit 5"), terminal: true },
        });
        expect(await added.exit).toBe(5);
        expect((await added.stdout.all).toString()).toContain("out");
      });

      it("B1: a process of the VM itself has the connections for its stdio, and its exit waits for nothing", async () => {
        const { exit, stdout } = await machine.execute(uvmContainerId, {
          CommandArgs: ["sh", "-c", "echo out; exit 6"],
        });
        expect(await exit).toBe(6);
        expect((await stdout.all).toString()).toBe("out\n");
        stdout.socket.end();
      });

      it("B1: output that the host does not read holds the exit back, and a process that has ended is listed no more", async () => {
        const added = await machine.execute("host", {
          OCIProcess: shell("head -c 4194304 /dev/zero"),
          CreateStdErrPipe: false,
          unread: true,
        });
        await vi.waitFor(async () => expect(await pids("host")).toContain(added.pid));
        expect(await soon(added.exit)).toBe("not yet");
        added.stdout.socket.resume();
        expect((await added.stdout.all).length).toBe(4 * mebibyte);
        added.stdout.socket.end();
        expect(await added.exit).toBe(0);
        expect(await pids("host")).not.toContain(added.pid);
      });

      it("B1: an init's output that the host closes too early is dialled again, until the container is to end", async () => {
        await machine.createContainer("again", { args: ["sh", "-c", "while :; do echo line; sleep 0.01; done"] });
        const init = await machine.execute("again", { CreateStdErrPipe: false });
        await init.stdout.until("line");
        const anew = machine.accept(init.ports.stdout ?? 0);
        init.stdout.socket.destroy();
        const socket: Socket = await anew;
        socket.resume();
        socket.destroy();
        await machine.client.request("shutdownForced", "again", {});
        expect(await init.exit).toBe(137);
        await remove("again");
      });

      it("B10: what an exec leaves behind holds its exit back, though the host has closed, until it writes or ends", async () => {
        const silent = await machine.execute("host", { OCIProcess: shell("sleep 1000 & echo $!; exit 7") });
        const go = "until test -e /go; do sleep 0.01; done";
        const speaking = await machine.execute("host", { OCIProcess: shell(`(${go}; echo late) & exit 7`) });
        const child = Number(await silent.stdout.until("\n"));
        expect(child).toBeGreaterThan(0);
        for (const { stdout, stderr } of [silent, speaking]) {
          stdout.socket.destroy();
          stderr?.socket.destroy();
        }
        expect(await soon(Promise.race([silent.exit, speaking.exit]))).toBe("not yet");
        const left = await pids("host");
        for (const { pid } of [silent, speaking]) {
          expect(left).not.toContain(pid);
          await expect(
            machine.client.request("signalProcess", "host", { ProcessId: pid, Options: { Signal: 9 } }),
          ).rejects.toMatchObject({ hresult: 0x80070490 });
        }
        const quiet = { CreateStdOutPipe: false, CreateStdErrPipe: false };
        const act = await machine.execute("host", { ...quiet, OCIProcess: shell(`: >/go; kill -9 ${child}`) });
        expect(await act.exit).toBe(0);
        expect(await silent.exit).toBe(7);
        expect(await speaking.exit).toBe(7);
      });

      it("an exec whose exit was told is known no more, an init's is told again", async () => {
        const { pid, exit } = await machine.execute("host", {
          OCIProcess: shell("exit 2"),
          CreateStdOutPipe: false,
          CreateStdErrPipe: false,
        });
        expect(await exit).toBe(2);
        const wait = (id: string, ProcessId: number) =>
          machine.client.request("waitForProcess", id, { ProcessId, TimeoutInMs: infiniteTimeout });
        await expect(wait("host", pid)).rejects.toMatchObject({ hresult: 0x80070490 });
        await expect(
          machine.client.request("signalProcess", "host", { ProcessId: pid, Options: { Signal: 15 } }),
        ).rejects.toMatchObject({ hresult: 0x80070490 });
        await machine.createContainer("twice", { args: ["sh", "-c", "exit 8"] });
        const init = await machine.execute("twice", { CreateStdOutPipe: false, CreateStdErrPipe: false });
        expect(await init.exit).toBe(8);
        expect((await wait("twice", init.pid)).ExitCode).toBe(8);
        await remove("twice");
      });
    });

    describe("terminal size", () => {
      it("B3: an init's is not taken from its parameters, and comes by a resize", async () => {
        // Of no size, stty says nothing.
        const script = 'echo "first:$(stty size 2>/dev/null)."; read line; stty size';
        await machine.createContainer("sized", { args: ["sh", "-c", script], terminal: true });
        const { pid, stdin, stdout, exit } = await machine.execute("sized", {
          EmulateConsole: true,
          ConsoleSize: [33, 111],
          CreateStdErrPipe: false,
        });
        expect(await stdout.until("\n")).toMatch(/^first:(0 0)?\.\r\n$/);
        const resize = (Height: number, Width: number) =>
          machine.client.request("resizeConsole", "sized", { ProcessId: pid, Height, Width });
        await resize(44, 122);
        stdin.write("\n");
        await stdout.until("44 122");
        expect(await exit).toBe(0);
        await resize(10, 10);
        await remove("sized");
      });

      it("B3: an exec's is that of its process, and whether it has a terminal too", async () => {
        const { stdout, exit } = await machine.execute("host", {
          EmulateConsole: false,
          ConsoleSize: [33, 111],
          CreateStdErrPipe: false,
          OCIProcess: {
            // A runtime may give the size after the start. Of none, stty says nothing, with success.
            ...shell('until size=$(stty size 2>/dev/null); test "$size"; do sleep 0.01; done; echo "$size"'),
            terminal: true,
            consoleSize: { height: 12, width: 34 },
          },
        });
        expect((await stdout.all).toString()).toBe("12 34\r\n");
        expect(await exit).toBe(0);
        const plain = await machine.execute("host", {
          EmulateConsole: true,
          OCIProcess: shell("tty; exit 1"),
          CreateStdErrPipe: true,
        });
        expect((await plain.stdout.all).toString()).toBe("not a tty\n");
        await plain.stderr?.all;
        await expect(
          machine.client.request("resizeConsole", "host", { ProcessId: plain.pid, Height: 1, Width: 1 }),
        ).rejects.toMatchObject({ hresultName: "E_FAIL" });
        plain.stdout.socket.end();
        plain.stderr?.socket.end();
        expect(await plain.exit).toBe(1);
      });
    });

    describe("notifications", () => {
      it("B6: there is none of a container that is ended before it was executed", async () => {
        await machine.createContainer("idle", { args: ["true"] });
        await machine.client.request("shutdownForced", "idle", {});
        await remove("idle");
        await delay(waitMs);
        expect(typesOf("idle")).toEqual([]);
      });

      it("B8: a plain end is unexpected, also a kill for want of memory, of which the figures tell", async () => {
        const linux = { resources: { memory: { limit: 32 * mebibyte } } };
        const quiet = { CreateStdOutPipe: false, CreateStdErrPipe: false };
        await machine.createContainer("greedy", { args: ["sh", "-c", "tail /dev/zero"] }, linux);
        const { exit } = await machine.execute("greedy", quiet);
        expect(await exit).toBe(137);
        const Query = '{"PropertyTypes":["Statistics"]}';
        const { Properties } = await machine.client.request("getProperties", "greedy", { Query });
        const of = checkCgroupMetrics(JSON.parse(Properties));
        const kills = of.version === 1 ? of.metrics.memory_oom_control?.oom_kill : of.metrics.memory_events?.oom_kill;
        expect(kills).toBe(1);
        await remove("greedy");
        await machine.createContainer("plain", { args: ["true"] });
        expect(await (await machine.execute("plain", quiet)).exit).toBe(0);
        await remove("plain");
        await vi.waitFor(() =>
          expect([...typesOf("greedy"), ...typesOf("plain")]).toEqual(["UnexpectedExit", "UnexpectedExit"]),
        );
      });

      it("B8: TERM and KILL to the first process make it graceful or forced, whatever became of them", async () => {
        for (const [id, procedure, type] of [
          ["term", "shutdownGraceful", "GracefulExit"],
          ["kill", "shutdownForced", "ForcedExit"],
        ] as const) {
          await machine.createContainer(id, {
            args: ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"],
          });
          const { stdout, exit } = await machine.execute(id, { CreateStdErrPipe: false });
          await stdout.until("ready");
          await machine.client.request(procedure, id, {});
          await stdout.all;
          stdout.socket.end();
          await exit;
          await remove(id);
          await vi.waitFor(() => expect(typesOf(id)).toEqual([type]));
        }
      });
    });
  },
);
