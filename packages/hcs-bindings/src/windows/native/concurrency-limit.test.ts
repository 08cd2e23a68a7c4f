import { expect, it } from "vitest";
import { ConcurrencyLimit } from "./concurrency-limit.ts";

it("limits concurrent calls and runs them in order, whether they succeed or fail", async () => {
  const lanes = new ConcurrencyLimit(2);
  const begun: number[] = [];
  const work = [0, 1, 2, 3].map((number) => ({ number, ...Promise.withResolvers<number>() }));
  const results = work.map(({ number, promise }) =>
    lanes.run(() => {
      begun.push(number);
      return promise;
    }),
  );
  await Promise.resolve();
  expect(begun).toEqual([0, 1]);
  work[1]?.reject(new Error("one failed"));
  await expect(results[1]).rejects.toThrow("one failed");
  expect(begun).toEqual([0, 1, 2]);
  for (const { number, resolve } of work) resolve(number);
  expect(await Promise.all([results[0], results[2], results[3]])).toEqual([0, 2, 3]);
  expect(await lanes.run(async () => 4)).toBe(4);
});
