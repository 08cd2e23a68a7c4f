import { expect, it } from "vitest";
import { FileCallQueue, fileSystemIn } from "./file-call-queue.ts";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const givenUp = (): Error => new Error("given up");

/** Paths are `/<file system>/<name>`; calls run until the test ends them. */
function bench(atOnce: number, inAll = atOnce) {
  const queue = new FileCallQueue({ atOnce, inAll }, (path) => path.split("/", 2).join("/"));
  const asked: string[] = [];
  const open = new Map<string, () => void>();
  let overdue = Promise.withResolvers<void>();
  const ask = (path: string, isGivenUp = () => false): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const call = (): Promise<void> => {
      asked.push(path);
      open.set(path, resolve);
      return promise;
    };
    return queue.run({ path, isGivenUp, call, givenUp, overdue: overdue.promise });
  };
  /** Ends all calls made so far. */
  const beOverdue = async (): Promise<void> => {
    overdue.resolve();
    overdue = Promise.withResolvers();
    await settled();
  };
  return { asked, ask, beOverdue, letGo: (path: string) => open.get(path)?.() };
}

it("one file system gets half of the free turns, and at least one", async () => {
  const { asked, ask } = bench(8);
  for (const fileSystem of ["a", "b", "c", "d", "e"]) {
    for (let index = 0; index < 8; index++) void ask(`/${fileSystem}/${index}`);
  }
  await settled();
  expect(asked.map((path) => path[1]).join("")).toBe("aaaabbcd");
});

it("a free turn goes to the first waiting call whose file system may have one", async () => {
  const { asked, ask, letGo } = bench(4);
  for (const path of ["/a/1", "/a/2", "/a/3", "/b/1", "/b/2"]) void ask(path);
  await settled();
  expect(asked).toEqual(["/a/1", "/a/2", "/b/1"]);
  letGo("/b/1");
  await settled();
  expect(asked).toEqual(["/a/1", "/a/2", "/b/1", "/b/2"]);
  letGo("/a/1");
  await settled();
  expect(asked.at(-1)).toBe("/a/3");
});

it("a call that is given up while it waits is rejected, never made, and keeps no turn", async () => {
  const { asked, ask, letGo } = bench(2);
  void ask("/a/1");
  let isGivenUp = false;
  const waiting = ask("/a/2", () => isGivenUp);
  isGivenUp = true;
  void ask("/b/1");
  await expect(waiting).rejects.toThrow("given up");
  letGo("/a/1");
  void ask("/a/3");
  await settled();
  expect(asked).toEqual(["/a/1", "/b/1", "/a/3"]);
});

it("a path belongs to the deepest mount above it, and to the last one mounted there", () => {
  const line = (device: string, point: string): string => `21 1 ${device} / ${point} rw,relatime - x x rw`;
  const mountinfo = [
    line("8:1", "/"),
    line("0:30", "/mnt/nfs"),
    line("0:31", "/mnt/nfs/deep"),
    line("0:30", "/var/lib/pods/v\\0401"),
    line("0:40", "/run"),
    line("0:41", "/run"),
    "",
  ].join("\n");
  const found = (file: string): string => fileSystemIn(mountinfo, file);
  expect(["/", "/mnt", "/mnt/nfs2/x"].map(found)).toEqual(["8:1", "8:1", "8:1"]);
  expect(["/mnt/nfs", "/mnt/nfs/x", "/var/lib/pods/v 1/x"].map(found)).toEqual(["0:30", "0:30", "0:30"]);
  expect(["/mnt/nfs/deep/x", "/run/x"].map(found)).toEqual(["0:31", "0:41"]);
  expect(fileSystemIn("", "/x")).toBe("");
});

it("four file systems that do not answer hold up a fifth only until their answers are overdue", async () => {
  const { asked, ask, beOverdue, letGo } = bench(8, 16);
  for (const fileSystem of ["a", "b", "c", "d"]) {
    for (let index = 0; index < 8; index++) void ask(`/${fileSystem}/${index}`);
  }
  const answered = ask("/e/1");
  await settled();
  expect(asked.map((path) => path[1]).join("")).toBe("aaaabbcd");
  await beOverdue();
  expect(asked).toContain("/e/1");
  letGo("/e/1");
  await answered;
});

it("overdue turns are replaced up to a limit, and each further file system gets fewer of the rest", async () => {
  const { asked, ask, beOverdue, letGo } = bench(8, 16);
  for (const fileSystem of "abcdefgh") {
    let isGivenUp = false;
    for (let index = 0; index < 8; index++) ask(`/${fileSystem}/${index}`, () => isGivenUp).catch(() => {});
    await settled();
    isGivenUp = true;
    await beOverdue();
  }
  expect(asked.map((path) => path[1]).join("")).toBe("aaaabbbbccccddef");
  const answered = ask("/i/1");
  await settled();
  expect(asked).not.toContain("/i/1");
  // Once any of them answers.
  letGo("/a/0");
  await settled();
  letGo("/i/1");
  await answered;
});

it("of thousands of waiting calls, each is examined at its own turn and not at every other one", async () => {
  const queue = new FileCallQueue({ atOnce: 8, inAll: 8 }, (path) => path.split("/", 2).join("/"));
  const count = 2000;
  let looks = 0;
  const isGivenUp = (): boolean => {
    looks += 1;
    return false;
  };
  const asked = Array.from({ length: count }, (_, index) =>
    queue.run({ path: `/${index % 3}/${index}`, isGivenUp, call: async () => index, givenUp }),
  );
  expect(await Promise.all(asked)).toEqual(Array.from({ length: count }, (_, index) => index));
  expect(looks).toBeLessThan(50 * count);
});

it("a file system that never answers holds no memory of calls that were given up", async () => {
  const { asked, ask, letGo } = bench(2);
  void ask("/a/stuck");
  let isGivenUp = false;
  const waiting = Array.from({ length: 100 }, (_, index) => ask(`/a/${index}`, () => isGivenUp));
  isGivenUp = true;
  void ask("/b/1");
  expect((await Promise.allSettled(waiting)).every(({ status }) => status === "rejected")).toBe(true);
  letGo("/a/stuck");
  void ask("/a/last");
  await settled();
  expect(asked).toEqual(["/a/stuck", "/b/1", "/a/last"]);
});

it("makes calls even if the mount table cannot be read", async () => {
  const queue = new FileCallQueue({ atOnce: 2, inAll: 2 }, () => {
    throw new Error("EMFILE: too many open files");
  });
  const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const ask = (call: () => Promise<string>): Promise<string> =>
    queue.run({ path: "/a/b", isGivenUp: () => false, call, givenUp: () => new Error("given up") });
  const answers = Promise.all([ask(() => first.promise), ask(() => second.promise)]);
  first.resolve("one");
  second.resolve("two");
  expect(await answers).toEqual(["one", "two"]);
});
