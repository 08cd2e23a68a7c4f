import { describe, expect, it } from "vitest";
import { Acquisitions, isGone, type Step } from "./acquisitions.ts";
import { ControllerError } from "./error.ts";

/** Steps whose effects are the members of a set, so that what is left over can be seen. */
class World {
  readonly present = new Set<string>();
  readonly releases: string[] = [];
  readonly failingReleases = new Set<string>();

  step(name: string, acquire: (signal?: AbortSignal) => void | Promise<void> = () => {}): Step {
    return {
      name,
      acquire: async (signal) => {
        this.present.add(name);
        await acquire(signal);
      },
      release: async () => {
        this.releases.push(name);
        if (this.failingReleases.delete(name)) throw new Error(`${name} cannot be released`);
        this.present.delete(name);
      },
    };
  }
}

const names = ["disk", "share", "layers", "container"];

describe("Acquisitions", () => {
  it("holds what was acquired and releases it in reverse order", async () => {
    const world = new World();
    const held = new Acquisitions();
    await held.acquireAll(names.map((name) => world.step(name)));
    expect(held.names).toEqual(names);
    expect(world.present).toEqual(new Set(names));
    await held.releaseAll();
    expect(world.releases).toEqual(names.toReversed());
    expect(world.present.size).toBe(0);
    expect(held.isEmpty).toBe(true);
  });

  it.each(names.map((_, index) => index))("undoes everything when step %i fails halfway", async (failing) => {
    const world = new World();
    const held = new Acquisitions();
    const steps = names.map((name, index) =>
      world.step(name, () => {
        if (index === failing) throw new Error(`${name} failed`);
      }),
    );
    await expect(held.acquireAll(steps)).rejects.toThrow(`${names[failing]} failed`);
    expect(world.present.size).toBe(0);
    expect(world.releases).toEqual(names.slice(0, failing + 1).toReversed());
    expect(held.isEmpty).toBe(true);
  });

  it.each(names.map((_, index) => index))("undoes everything when it is aborted during step %i", async (aborted) => {
    const world = new World();
    const held = new Acquisitions();
    const abort = new AbortController();
    const steps = names.map((name, index) =>
      world.step(name, async (signal) => {
        if (index === aborted) abort.abort();
        signal?.throwIfAborted();
      }),
    );
    await expect(held.acquireAll(steps, abort.signal)).rejects.toMatchObject({ name: "AbortError" });
    expect(world.present.size).toBe(0);
    expect(held.isEmpty).toBe(true);
  });

  it("neither acquires nor releases a step when aborted before it", async () => {
    const world = new World();
    const held = new Acquisitions();
    const steps = [world.step("disk")];
    await expect(held.acquireAll(steps, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    expect(world.releases).toEqual([]);
  });

  it.each(names)("keeps %s for the next attempt when only its release fails", async (failing) => {
    const world = new World();
    const held = new Acquisitions();
    await held.acquireAll(names.map((name) => world.step(name)));
    world.failingReleases.add(failing);
    await expect(held.releaseAll()).rejects.toThrow(`${failing} cannot be released`);
    expect(world.releases).toEqual(names.toReversed());
    expect(held.names).toEqual([failing]);
    await held.releaseAll();
    expect(world.present.size).toBe(0);
    expect(held.isEmpty).toBe(true);
  });

  it("reports every failed release", async () => {
    const world = new World();
    const held = new Acquisitions();
    await held.acquireAll(names.map((name) => world.step(name)));
    world.failingReleases.add("disk").add("layers");
    await expect(held.releaseAll()).rejects.toThrow("layers cannot be released; disk cannot be released");
    expect(held.names).toEqual(["disk", "layers"]);
  });

  it("reports the first failure with its code when the clean-up fails too, also for an abort reason", async () => {
    const world = new World();
    const held = new Acquisitions();
    world.failingReleases.add("disk");
    const abort = new AbortController();
    const steps = [world.step("disk", () => abort.abort()), world.step("share")];
    const error: unknown = await held.acquireAll(steps, abort.signal).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ControllerError);
    expect(error).toMatchObject({ code: "Cancelled", id: "share", cause: abort.signal.reason });
    expect(String(error)).toContain("disk cannot be released");
    expect(held.names).toEqual(["disk"]);
  });

  it("counts an object that is gone as released", async () => {
    const held = new Acquisitions();
    const gone = (error: object) => ({ name: "x", release: async () => Promise.reject(error) });
    held.add(gone(Object.assign(new Error("no such disk"), { code: "NotFound" })));
    held.add(gone(Object.assign(new Error("VM has ended"), { gone: true })));
    await held.releaseAll();
    expect(held.isEmpty).toBe(true);
  });

  it("makes a second release wait for the first, and release nothing twice", async () => {
    const world = new World();
    const held = new Acquisitions();
    await held.acquireAll([world.step("disk"), world.step("share")]);
    const first = held.releaseAll();
    await held.releaseAll();
    expect(world.present.size).toBe(0);
    expect(world.releases).toEqual(["share", "disk"]);
    await first;
  });

  it("keeps an acquisition that is added during a release", async () => {
    const world = new World();
    const held = new Acquisitions();
    held.add({
      name: "disk",
      release: async () => {
        held.add(world.step("late"));
      },
    });
    await held.releaseAll();
    expect(held.names).toEqual(["late"]);
  });

  it("forgets an acquisition that was handed over", async () => {
    const world = new World();
    const held = new Acquisitions();
    const step = world.step("disk");
    held.add(step);
    held.forget(step);
    await held.releaseAll();
    expect(world.releases).toEqual([]);
  });
});

describe("isGone", () => {
  it.each([undefined, null, "NotFound", new Error("x"), { code: "NotFound" }])("is false for %o", (value) => {
    expect(isGone(value)).toBe(false);
  });
});
