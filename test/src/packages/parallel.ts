import { availableParallelism } from "node:os";

/** Does the work for each item, as much at once as the machine has processors. The results have the items' order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  atOnce = availableParallelism(),
): Promise<readonly Result[]> {
  const results: Result[] = [];
  const left = [...items.entries()];
  const workers = Array.from({ length: atOnce }, async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) results[next[0]] = await work(next[1]);
  });
  await Promise.all(workers);
  return results;
}
