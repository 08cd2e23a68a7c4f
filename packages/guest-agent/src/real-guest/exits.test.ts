/**
 * How processes end in the real Linux guest, as of microsoft/hcsshim in August 2026 (7c9ff7f48). This guest is no more
 * helpful, so that a host that works with it works with the real one.
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
/** Long enough for everything that does not wait for the host. */
const waitMs = 300;

const shell = (script: string): OciProcess => ({ args: ["sh", "-c", script], cwd: "/", env: ["PATH=/bin"] });

/** The result of a promise, or "not yet" if something holds it up. */
async function soon<T>(promise: Promise<T>): Promise<T | "not yet"> {
  return await Promise.race([promise, delay(waitMs, "not yet" as const)]);
}

describeWith("root", "crun", "runc", "busybox").each(["crun", "runc"] as const)(
  "exits as in the real guest, with %s",
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
      it("B1: outputs of an init and an exec are half-closed, and the exit is answered after the host's close", async () => {
        await machine.createContainer("waits", { args: ["sh", "-c", "read line; echo out; echo err >&2; exit 3"] });
        const init = await machine.execute("waits");
        const added = await machine.execute("waits", { OCIProcess: shell("echo out; echo err >&2; exit 3") });
        for (const { stdout, stderr, exit } of [added, init]) {
          // The end of init kills the exec, so that has to have ended before.
          if (stdout === init.stdout) init.stdin.write("\n");
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

      it("B1: an output that the process closes early is half-closed at once, and waits for the host's close", async () => {
        const added = await machine.execute("host", { OCIProcess: shell("exec >&- 2>&-; read line; exit 4") });
        await Promise.all([added.stdout.all, added.stderr?.all]);
        added.stdout.socket.end();
        added.stdin.write("\n");
        expect(await soon(added.exit)).toBe("not yet");
        added.stderr?.socket.end();
        expect(await added.exit).toBe(4);
      });

      it("B1: a terminal's connections are closed without waiting for the host, once all output is sent", async () => {
        const added = await machine.execute("host", {
          CreateStdErrPipe: false,
          OCIProcess: { ...shell("echo out; exit 5"), terminal: true },
        });
        expect(await added.exit).toBe(5);
        expect((await added.stdout.all).toString()).toContain("out");
      });

      it("B1: a process of the VM has the connections as its stdio, and its exit waits for nothing", async () => {
        const { exit, stdout } = await machine.execute(uvmContainerId, {
          CommandArgs: ["sh", "-c", "echo out; exit 6"],
        });
        expect(await exit).toBe(6);
        expect((await stdout.all).toString()).toBe("out\n");
        stdout.socket.end();
      });

      it("B1: unread output delays the exit, and a process that has ended is no longer listed", async () => {
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

      it("B1: an init's output that the host closes early is dialled again, until the container is shut down", async () => {
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

      it("B10: a child that an exec leaves running delays the exit until it writes or ends, even after the host's close", async () => {
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

      it("an exec is forgotten once its exit was answered, and an init's exit is answered again", async () => {
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
      it("B3: an init's is set only by a resize, not by its parameters", async () => {
        // Without a size, stty prints nothing.
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

      it("B3: an exec's size, and whether it has a terminal, are taken from its OCI process", async () => {
        const { stdout, exit } = await machine.execute("host", {
          EmulateConsole: false,
          ConsoleSize: [33, 111],
          CreateStdErrPipe: false,
          OCIProcess: {
            // A runtime may set the size after the start. Without one, stty prints nothing and succeeds.
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
      it("B6: a container that is shut down before its start sends none", async () => {
        await machine.createContainer("idle", { args: ["true"] });
        await machine.client.request("shutdownForced", "idle", {});
        await remove("idle");
        await delay(waitMs);
        expect(typesOf("idle")).toEqual([]);
      });

      it("B8: an exit by itself is unexpected, an out-of-memory kill too, which the metrics count", async () => {
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

      it("B8: TERM or KILL to the init makes it graceful or forced, whatever their effect", async () => {
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
