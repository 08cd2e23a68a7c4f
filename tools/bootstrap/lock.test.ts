import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { withLock } from "./lock.mjs";

let names = 0;
function ownName(): string {
  names += 1;
  return `test of ${process.pid}, ${names}`;
}

it("whoever comes while the lock is held waits, and is told for whom", async () => {
  const name = ownName();
  const steps: string[] = [];
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const first = withLock(name, "the first", async () => {
    begin();
    await released;
    steps.push("first done");
  });
  await begun;
  const second = withLock(
    name,
    "the second",
    async () => void steps.push("second done"),
    (holder) => {
      steps.push(`waits for ${holder}`);
      release();
    },
  );
  await Promise.all([first, second]);
  expect(steps).toEqual(["waits for the first", "first done", "second done"]);
});

it("of many, one at a time has it", async () => {
  const name = ownName();
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    inside += 1;
    most = Math.max(most, inside);
    await new Promise(setImmediate);
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(name, "one of eight", work)));
  expect(most).toBe(1);
});

it("it is free again after work that fails, and answers what work answers", async () => {
  const name = ownName();
  await expect(withLock(name, "a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await withLock(name, "b", () => Promise.resolve(7))).toBe(7);
});

it("it is free again when its holder is killed", async () => {
  const name = ownName();
  const module = JSON.stringify(pathToFileURL(join(import.meta.dirname, "lock.mjs")));
  const holding = `import(${module}).then(({ withLock }) => withLock(${JSON.stringify(name)}, "killed", () => {
    console.log("held");
    return new Promise((resolve) => setTimeout(resolve, 60_000));
  }))`;
  const child = spawn(process.execPath, ["-e", holding], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  let waited = "";
  const later = withLock(
    name,
    "later",
    () => Promise.resolve("had it"),
    (holder) => {
      waited = holder;
      child.kill("SIGKILL");
    },
  );
  expect(await later).toBe("had it");
  expect(waited).toBe("killed");
});
