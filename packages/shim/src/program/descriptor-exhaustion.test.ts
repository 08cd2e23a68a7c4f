/** A shim whose clients have used up its descriptors still accepts connections. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";

const module = (name: string): string => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));

/** Runs a program that listens on a socket with a limit of open files; lines on its stdin control it. */
async function run<T>(program: string, socket: string, test: (tell: Tell) => Promise<T>): Promise<T> {
  const text = `const [, socket] = process.argv; ${program}`;
  const command = [
    "-c",
    'ulimit -n 64; exec "$0" "$@"',
    process.execPath,
    "--input-type=module",
    "--eval",
    text,
    socket,
  ];
  const child = spawn("/bin/sh", command, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  try {
    const ask: Tell = async (what) => {
      const answer = once(child, "message");
      if (what !== "") child.send(what);
      return (await answer)[0];
    };
    await ask("");
    return await test(ask);
  } finally {
    child.kill("SIGKILL");
  }
}

type Tell = (what: string) => Promise<unknown>;

/** The first data of a connection, or its end. */
async function dial(socket: string): Promise<{ readonly told: string; readonly connection: net.Socket }> {
  const connection = net.connect(socket).setEncoding("utf8");
  const told = await new Promise<string>((resolve) => {
    connection.once("data", (text: string) => resolve(text));
    connection.on("error", () => {});
    connection.once("close", () => resolve("the end"));
  });
  return { told, connection };
}

const serving = `
  import { once } from "node:events";
  import net from "node:net";
  import { setTimeout as delay } from "node:timers/promises";
  import { constants, closeSync, openSync } from "node:fs";
  import { listen } from ${module("../system/socket.ts")};
  import { openNamed } from ${module("../system/file-calls.ts")};
  import { systemClock } from ${module("../../../lifecycle/src/waiting/clock.ts")};
  const taken = [];
  const take = () => { try { for (;;) taken.push(openSync("/dev/null", "r")); } catch {} return taken.length; };
  const acts = {
    take,
    "take by name": async () => {
      try {
        for (;;) taken.push((await openNamed("stdout", "/dev/null", constants.O_RDONLY, { clock: systemClock })).descriptor);
      } catch (error) { return error.message; }
    },
    "let go": () => { for (const one of taken.splice(0, 6)) closeSync(one); return taken.length; },
    // Utilization of the event loop while nothing happens.
    turns: async () => {
      const before = performance.nodeTiming.uvMetricsInfo.loopCount;
      await delay(200);
      return performance.nodeTiming.uvMetricsInfo.loopCount - before;
    },
    "be left": async () => { while (open.size > 0) await once([...open][0], "close"); return "left"; },
  };
  const open = new Set();
  const server = net.createServer((connection) => {
    open.add(connection.on("close", () => open.delete(connection)).on("error", () => {}));
    connection.resume().write("welcome");
  });
  await listen(server, socket);
  process.on("message", async (what) => process.send(await acts[what]()));
  process.send("serves");`;

describeWith("Linux")("a shim that has no descriptor left", () => {
  const inFolder = async (test: (socket: string) => Promise<void>): Promise<void> => {
    const directory = mkdtempSync(path.join(tmpdir(), "shim-lacking-"));
    try {
      await test(path.join(directory, "s"));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  it("has some reserved for connections, however many files clients make it open", async () => {
    await inFolder((socket) =>
      run(serving, socket, async (tell) => {
        expect(await tell("take by name")).toContain("EMFILE");
        const connections = [];
        for (let count = 0; count < 4; count += 1) connections.push(await dial(socket));
        expect(connections.map(({ told }) => told)).toEqual(connections.map(() => "welcome"));
        for (const { connection } of connections) connection.destroy();
      }),
    );
  });

  it("closes each connection it cannot accept without spinning, and accepts one as soon as a descriptor is free", async () => {
    await inFolder((socket) =>
      run(serving, socket, async (tell) => {
        for (let round = 0; round < 3; round += 1) {
          await tell("take");
          const refused = await Promise.all(Array.from({ length: 20 }, () => dial(socket)));
          expect(refused.map(({ told }) => told)).toEqual(refused.map(() => "the end"));
          expect(await tell("turns")).toBeLessThan(20);
          await tell("let go");
          const { told, connection } = await dial(socket);
          expect(told).toBe("welcome");
          connection.destroy();
          await tell("be left");
        }
      }),
    );
  });
});
