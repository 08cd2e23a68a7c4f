import { beforeEach, expect, it } from "vitest";
import { type FakeDll, FakeMachine } from "../../testing/windows/fake-machine.ts";
import { kernelFunctions, securityFunctions } from "../native/kernel-functions.ts";
import { systemStructures } from "../native/system-structures.ts";
import { Job } from "./job.ts";
import { NamedEvents } from "./named-events.ts";

interface Wait {
  readonly event: string;
  readonly call: () => void;
}

/** Auto-reset events, jobs, and their handles. */
class FakeObjects {
  readonly machine: FakeMachine;
  readonly handles = new Map<bigint, string>();
  readonly events = new Map<string, { set: boolean }>();
  readonly waits = new Map<bigint, Wait>();
  readonly members: bigint[] = [];
  limits: Buffer = Buffer.alloc(0);
  refuses = "";

  constructor() {
    this.machine = new FakeMachine((machine) => ({
      kernel32: this.#kernel(machine),
      advapi32: {
        ConvertStringSecurityDescriptorToSecurityDescriptorW: (text: string, _revision: number, found: Buffer) => {
          found.writeBigUInt64LE(machine.giveText("system", text));
          return 1;
        },
      },
    }));
  }

  leftovers(): readonly string[] {
    return [
      ...this.handles.values(),
      ...[...this.waits.values()].map(({ event }) => event),
      ...this.machine.leftovers(),
    ];
  }

  #open(name: string): bigint {
    const handle = this.machine.newAddress();
    this.handles.set(handle, name);
    return handle;
  }

  #kernel(machine: FakeMachine): FakeDll {
    const unless = (name: string, does: () => bigint | number): bigint | number => {
      if (this.refuses !== name) return does();
      return name.startsWith("Create") || name.startsWith("Open") ? 0n : 0;
    };
    return {
      GetLastError: () => 2,
      LocalFree: (address: bigint) => {
        machine.freeText("system", address);
        return 0n;
      },
      CloseHandle: (handle: bigint) => {
        if (!this.handles.delete(handle)) machine.wrongs.push(`handle ${handle} is not open`);
        return 1;
      },
      CreateEventW: (_attributes: Buffer, _manual: number, _initial: number, name: string) =>
        unless("CreateEventW", () => {
          this.events.set(name, this.events.get(name) ?? { set: false });
          return this.#open(name);
        }),
      OpenEventW: (_access: number, _inherit: number, name: string) => (this.events.has(name) ? this.#open(name) : 0n),
      SetEvent: (handle: bigint) =>
        unless("SetEvent", () => {
          const name = this.handles.get(handle) ?? "";
          const event = this.events.get(name);
          if (event !== undefined) event.set = true;
          this.#release(name);
          return 1;
        }),
      RegisterWaitForSingleObject: (registered: Buffer, handle: bigint, callback: bigint, context: bigint) =>
        unless("RegisterWaitForSingleObject", () => {
          const wait = machine.newAddress();
          registered.writeBigUInt64LE(wait);
          const event = this.handles.get(handle) ?? "";
          this.waits.set(wait, { event, call: () => machine.callBack(callback, context, 0) });
          this.#release(event);
          return 1;
        }),
      UnregisterWaitEx: (wait: bigint) => {
        this.waits.delete(wait);
        return 1;
      },
      CreateJobObjectW: () => unless("CreateJobObjectW", () => this.#open("job")),
      SetInformationJobObject: (_job: bigint, _kind: number, limits: Buffer) =>
        unless("SetInformationJobObject", () => {
          this.limits = limits;
          return 1;
        }),
      OpenProcess: (_access: number, _inherit: number, id: number) =>
        unless("OpenProcess", () => this.#open(`process ${id}`)),
      AssignProcessToJobObject: (_job: bigint, process: bigint) =>
        unless("AssignProcessToJobObject", () => this.members.push(process)),
    };
  }

  #release(name: string): void {
    const event = this.events.get(name);
    const waiting = [...this.waits.values()].find((wait) => wait.event === name);
    if (event?.set !== true || waiting === undefined) return;
    event.set = false;
    setImmediate(waiting.call);
  }
}

const descriptor = "D:P(A;;GA;;;SY)";
let fake: FakeObjects;
let events: NamedEvents;

beforeEach(() => {
  fake = new FakeObjects();
  const { machine } = fake;
  const kernel = machine.library("kernel32", kernelFunctions);
  events = new NamedEvents(machine, kernel, machine.library("advapi32", securityFunctions));
});

it("wakes one waiter per set, through any handle", async () => {
  const made = events.create("event", descriptor);
  const opened = events.open("event");
  opened.set();
  await made.wait();
  const waits = [made.wait(), opened.wait()];
  made.set();
  await Promise.race(waits);
  opened.set();
  await Promise.all(waits);
  await Promise.all([made.close(), opened.close()]);
  expect(fake.leftovers()).toEqual([]);
});

it("waits until the signal aborts or the event is closed", async () => {
  const event = events.create("event", descriptor);
  const stop = new AbortController();
  const stopped = event.wait(stop.signal);
  const waiting = event.wait();
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  await expect(event.wait(stop.signal)).rejects.toThrow("enough");
  await Promise.all([expect(waiting).rejects.toThrow("the event was closed"), event.close()]);
  await event.close();
  expect(fake.leftovers()).toEqual([]);
});

it("reports Windows' errors, and then keeps no handle", async () => {
  expect(() => events.open("no event")).toThrow("OpenEvent ENOENT");
  fake.refuses = "CreateEventW";
  expect(() => events.create("event", descriptor)).toThrow("CreateEvent ENOENT");
  fake.refuses = "RegisterWaitForSingleObject";
  const event = events.create("event", descriptor);
  await expect(event.wait()).rejects.toThrow("RegisterWaitForSingleObject");
  fake.refuses = "SetEvent";
  expect(() => event.set()).toThrow("SetEvent");
  await event.close();
  expect(fake.leftovers()).toEqual([]);
});

it("ends a job's processes when its handle closes", () => {
  const job = new Job(fake.machine.library("kernel32", kernelFunctions));
  const { offsets } = systemStructures.JOBOBJECT_EXTENDED_LIMIT_INFORMATION;
  expect(fake.limits.readUInt32LE(offsets["BasicLimitInformation.LimitFlags"])).toBe(0x2000);
  job.add(42);
  expect(fake.members).toHaveLength(1);
  for (const refused of ["OpenProcess", "AssignProcessToJobObject"]) {
    fake.refuses = refused;
    expect(() => job.add(43)).toThrow(refused);
  }
  job.close();
  job.close();
  for (const refused of ["CreateJobObjectW", "SetInformationJobObject"]) {
    fake.refuses = refused;
    expect(() => new Job(fake.machine.library("kernel32", kernelFunctions))).toThrow();
  }
  expect(fake.leftovers()).toEqual([]);
});
