import fc from "fast-check";
import { expect, it } from "vitest";
import { mountsAbove } from "./path-in-root.ts";

it("a mount lies on the last earlier mount whose destination contains its own", () => {
  const destination = fc
    .array(fc.constantFrom("/", "a", "b"), { maxLength: 6 })
    .map((parts) => ({ destination: parts.join("") }));
  fc.assert(
    fc.property(fc.array(destination, { maxLength: 8 }), (mounts) => {
      const expected = mounts.map((mount, index) =>
        mounts.slice(0, index).findLast((earlier) => mount.destination.startsWith(`${earlier.destination}/`)),
      );
      expect(mountsAbove(mounts)).toEqual(expected);
    }),
  );
});

// Comparing each mount with all earlier ones would exceed the timeout.
it("the mount below is found quickly for thousands of mounts", { timeout: 5000 }, () => {
  const mounts = Array.from({ length: 50_000 }, (_, index) => ({ destination: `/volumes/${index}` }));
  const last = { destination: "/volumes/7/below" };
  expect(mountsAbove([...mounts, last]).at(-1)).toBe(mounts[7]);
});
