import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { eachTestWithProcesses, type ShimProcesses } from "../testing/shim-processes.ts";
import { parseRecord, type RecordLine, recordFile } from "./lines.ts";

const { Task } = containerd.task.v3;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

const file = () => recordFile(shim.records, "ns", "c1");
const lines = (): readonly RecordLine[] => (existsSync(file()) ? parseRecord(readFileSync(file(), "utf8")).lines : []);
const names = () => lines().flatMap((line) => ("name" in line ? [line.name] : [line.type]));

async function serve(args: readonly string[], env: { readonly [name: string]: string } = {}) {
  shim.makeBundle("c1", { process: { args } });
  const client = shim.connect(await shim.start("c1", { env }));
  const create = () => client.call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
  const shutDown = async () => {
    await client.call(Task, "Shutdown", { id: "c1" });
    await client.closed;
    await shim.delete("c1", { env });
  };
  return { client, create, shutDown };
}

describe("the record of a pod", () => {
  it("says who serves and what happens, and is removed with a pod that ended in order", async () => {
    const { client, create, shutDown } = await serve(["0"]);
    await create();
    await expect.poll(names).toContain("create sandbox");
    await client.call(Task, "Delete", { id: "c1" });
    const [header] = lines();
    expect(header).toMatchObject({
      ...{ type: "header", by: "serve", shim: "containerd-shim-fake-v2", version: "1.2.3", flavour: "lcow" },
      ...{ namespace: "ns", id: "c1", bundle: shim.bundle("c1"), pid: shim.servingPid("c1"), logLevel: "info" },
    });
    const create1 = lines().find((line) => line.type === "began" && line.name === "Task/Create");
    expect(create1).toMatchObject({
      kind: "request",
      attributes: { container_id: "c1" },
      activityId: expect.any(String),
    });
    await shutDown();
    expect(existsSync(file())).toBe(false);
  });

  it("takes its activity from the caller's trace", async () => {
    const { client } = await serve(["0"]);
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const metadata = { traceparent };
    await client.call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") }, { metadata });
    await expect
      .poll(() =>
        lines()
          .filter((line) => line.type === "began")
          .map((line) => line.activityId),
      )
      .toContain("4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
  });

  it("is kept of a pod in which something failed", async () => {
    const { create, shutDown } = await serve(["0"], { FAKE_PLATFORM_FAILS: "1" });
    await expect(create()).rejects.toMatchObject({ code: "Unavailable" });
    await shutDown();
    expect(names()).toContain("ending");
    expect(lines()).toContainEqual(
      expect.objectContaining({
        type: "ended",
        name: "Task/Create",
        error: { code: "Unavailable", message: "no host here" },
      }),
    );
  });

  it("is kept of a shim that was killed, and delete says so in it", async () => {
    const { create } = await serve(["0"]);
    await create();
    await expect.poll(names).toContain("Task/Create");
    await shim.kill("c1");
    writeFileSync(`${shim.bundle("c1")}/panic.log`, "fatal: out of luck\n");
    await shim.run("c1", ["-bundle", shim.bundle("c1"), "delete"]);
    expect(lines().at(-2)).toMatchObject({ type: "header", by: "delete", seq: 1 });
    expect(lines().at(-1)).toMatchObject({ name: "shim lost", attributes: { stderr: "fatal: out of luck" } });
  });

  it("has the last words of a shim that crashed", async () => {
    const { create } = await serve(["crash"]);
    await create().catch(() => {});
    await expect.poll(names).toContain("shim crashed");
    expect(lines().at(-1)).toMatchObject({ attributes: { error: "a bug in the shim" } });
  });

  it("says why start failed", async () => {
    shim.makeBundle("c1", {});
    const outcome = await shim.run("c1", ["start"], { env: { FAKE_DIES: "1" } });
    expect(outcome.code).toBe(1);
    expect(lines()).toMatchObject([
      { type: "header", by: "start" },
      { name: "start failed", attributes: { error: expect.stringContaining("the disk is on fire") } },
    ]);
  });

  it("is not written where that is switched off", async () => {
    const { client, create, shutDown } = await serve(["0"], { UVM_SHIM_RECORDS: "none" });
    await create();
    await client.call(Task, "Delete", { id: "c1" });
    await shutDown();
    expect(existsSync(shim.records)).toBe(false);
  });
});
