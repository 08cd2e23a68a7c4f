import { expect, it } from "vitest";
import { inParallel } from "./parallel.ts";

it("does as much at once as it may, and returns the results in the items' order", async () => {
  const begun: number[] = [];
  const ends = [1, 2, 3].map(() => Promise.withResolvers<void>());
  const done = inParallel(
    [0, 1, 2],
    async (item) => {
      begun.push(item);
      await ends[item]?.promise;
      return item * 10;
    },
    2,
  );
  expect(begun).toEqual([0, 1]);
  ends[1]?.resolve();
  await ends[1]?.promise.then(() => new Promise((resolve) => setImmediate(resolve)));
  expect(begun).toEqual([0, 1, 2]);
  ends[2]?.resolve();
  ends[0]?.resolve();
  expect(await done).toEqual([0, 10, 20]);
});

it("rejects with the first failure", async () => {
  const failing = inParallel([1, 2], async (item) => {
    throw new Error(`no ${item}`);
  });
  await expect(failing).rejects.toThrow("no 1");
});
