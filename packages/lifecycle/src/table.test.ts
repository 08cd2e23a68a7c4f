import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ControllerError } from "./error.ts";
import { defineTable, diagram, Lifecycle, type TransitionTable } from "./table.ts";
import { diagramsIn } from "./testing/index.ts";

type State = "Closed" | "Open" | "Broken" | "Removed";
type Operation = "open" | "close" | "remove" | "crashed";
type Data = { kind: "Closed" } | { kind: "Open"; since: number } | { kind: "Broken" } | { kind: "Removed" };

const door: TransitionTable<State, Operation> = {
  subject: "door",
  initial: "Closed",
  states: ["Closed", "Open", "Broken", "Removed"],
  transitions: [
    { kind: "operation", name: "open", from: ["Closed"], success: "Open", failure: "Broken" },
    { kind: "operation", name: "close", from: ["Open"], success: "Closed", failure: "unchanged" },
    { kind: "operation", name: "remove", from: ["Closed", "Broken"], success: "Removed", failure: "unchanged" },
    { kind: "event", name: "crashed", from: ["Open"], to: "Broken" },
  ],
};

const dataOf = (kind: State): Data => (kind === "Open" ? { kind, since: 0 } : { kind });
const newDoor = (): Lifecycle<Data, State, Operation> => new Lifecycle(door, "front", { kind: "Closed" });

describe("defineTable", () => {
  it("returns the table when it is sound", () => {
    expect(defineTable(door)).toBe(door);
  });

  const broken = (change: Partial<TransitionTable<State, Operation>>) => () => defineTable({ ...door, ...change });

  it("rejects an unknown initial state", () => {
    expect(broken({ states: ["Open", "Broken", "Removed"] })).toThrow("door: unknown initial state Closed");
  });

  it("rejects rows that name unknown states", () => {
    expect(broken({ states: ["Closed", "Open", "Broken"] })).toThrow("unknown state Removed in transition remove");
  });

  it("rejects states that are unreachable from the initial one, even when they reach each other", () => {
    const transitions = door.transitions.filter((row) => row.name !== "open");
    expect(broken({ transitions })).toThrow("no transition reaches state Open");
  });

  it("rejects an operation and an event with the same name from the same state", () => {
    const twice = { kind: "event", name: "close", from: ["Open"], to: "Broken" } as const;
    expect(broken({ transitions: [...door.transitions, twice] })).toThrow("two transitions for close from Open");
  });
});

describe("Lifecycle", () => {
  it("starts where the table says", () => {
    expect(() => new Lifecycle<Data, State, Operation>(door, "front", { kind: "Broken" })).toThrow("expected Closed");
    expect(newDoor().state).toEqual({ kind: "Closed" });
  });

  it("carries the data of its state", () => {
    const life = newDoor();
    life.succeed("open", { kind: "Open", since: 7 });
    expect(life.state).toEqual({ kind: "Open", since: 7 });
  });

  it("names the operation, id, state and the states in which it is possible", () => {
    const life = newDoor();
    life.fail("open", { kind: "Broken" });
    expect(() => life.require("close")).toThrow(
      new ControllerError("FailedPrecondition", "not possible in state Broken, only in Open", {
        operation: "close door",
        id: "front",
      }),
    );
  });

  it("leaves the state as it is when the table says so", () => {
    const life = newDoor();
    life.succeed("open", { kind: "Open", since: 1 });
    life.fail("close", { kind: "Open", since: 1 });
    expect(life.state.kind).toBe("Open");
    expect(() => life.fail("close", { kind: "Broken" })).toThrow("cannot lead to Broken, expected Open");
  });

  it("ignores an event that does not apply to the current state", () => {
    const life = newDoor();
    expect(life.happen("crashed", { kind: "Broken" })).toBe(false);
    expect(life.state.kind).toBe("Closed");
  });

  it("distinguishes operations from events", () => {
    const life = newDoor();
    expect(life.happen("open", { kind: "Open", since: 1 })).toBe(false);
    life.succeed("open", { kind: "Open", since: 1 });
    expect(() => life.succeed("crashed", { kind: "Broken" })).toThrow("crashed is not an operation in state Open");
    expect(life.happen("crashed", { kind: "Broken" })).toBe(true);
  });

  it("never reaches a state that the table does not lead to, whatever is requested", () => {
    const moves = fc.record({
      how: fc.constantFrom("succeed", "fail", "happen"),
      name: fc.constantFrom<Operation>("open", "close", "remove", "crashed"),
      next: fc.constantFrom<State>(...door.states),
    });
    fc.assert(
      fc.property(fc.array(moves), (sequence) => {
        const life = newDoor();
        for (const { how, name, next } of sequence) {
          const before = life.state.kind;
          const row = door.transitions.find((one) => one.name === name && one.from.includes(before));
          expect(life.allows(name)).toBe(row !== undefined);
          let moved = true;
          try {
            if (how === "happen") moved = life.happen(name, dataOf(next));
            else life[how as "succeed" | "fail"](name, dataOf(next));
          } catch {
            moved = false;
          }
          const target =
            row?.kind === "event"
              ? how === "happen" && row.to
              : how === "succeed"
                ? row?.success
                : how === "fail" && (row?.failure === "unchanged" ? before : row?.failure);
          expect(moved).toBe(target === next);
          expect(life.state.kind).toBe(moved ? next : before);
        }
      }),
    );
  });
});

describe("diagram", () => {
  it("draws every row, and failures that lead to another state", () => {
    expect(diagram(door).split("\n")).toEqual([
      "stateDiagram-v2",
      "  [*] --> Closed",
      "  Closed --> Open: open",
      "  Closed --> Broken: open failed",
      "  Open --> Closed: close",
      "  Closed --> Removed: remove",
      "  Broken --> Removed: remove",
      "  Open --> Broken: crashed (event)",
    ]);
  });

  it("matches the one in this package's README", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    expect(diagramsIn(readme)).toEqual([diagram(door)]);
  });
});
