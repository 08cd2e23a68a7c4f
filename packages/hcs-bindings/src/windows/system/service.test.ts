import { beforeEach, describe, expect, it, vi } from "vitest";
import { FakeMachine } from "../../testing/windows/fake-machine.ts";
import { systemStructures } from "../native/system-structures.ts";
import { ServiceProcess } from "./service.ts";

const { SERVICE_STATUS: status, SERVICE_TABLE_ENTRYW: entry } = systemStructures;
const states = { stopped: 1, starting: 2, stopping: 3, running: 4 };
const accepted = 0x1 | 0x4 | 0x100;
const controls = { stop: 1, pause: 2, interrogate: 4, shutdown: 5, preshutdown: 15 };

/** The service control manager, with its thread and its record of the service. */
class FakeManager {
  readonly machine: FakeMachine;
  readonly reports: ReturnType<typeof status.decode>[] = [];
  /** Whether it has started the process. */
  isStarter = true;
  #handler = 0n;
  #dispatcher = Promise.withResolvers<void>();

  constructor() {
    this.machine = new FakeMachine((machine) => ({
      kernel32: {
        GetLastError: () => 1063,
        CloseHandle: () => 1,
        GetModuleHandleW: () => 0x10n,
        GetProcAddress: (_library: bigint, name: Buffer) => {
          expect(name.toString("latin1")).toBe("StartServiceCtrlDispatcherW\0");
          return 0x20n;
        },
        CreateThread: (_security: null, _stack: number, start: bigint, table: bigint) => {
          expect(start).toBe(0x20n);
          const { lpServiceProc } = entry.decode(Buffer.from(machine.memoryAt(table)));
          setImmediate(() => {
            if (this.isStarter) machine.callBack(lpServiceProc, 0, 0n);
            else this.#dispatcher.resolve();
          });
          return 0x30n;
        },
      },
      advapi32: {
        RegisterServiceCtrlHandlerExW: (_name: string, handler: bigint) => {
          this.#handler = handler;
          return 0x40n;
        },
        SetServiceStatus: (handle: bigint, report: Buffer) => {
          expect(handle).toBe(0x40n);
          this.reports.push(status.decode(report));
          return 1;
        },
      },
    }));
  }

  enter(): Promise<ServiceProcess> {
    const paths = { kernel32: "kernel32", advapi32: "advapi32" };
    return ServiceProcess.enter({ machine: this.machine, paths, wait: () => this.#dispatcher.promise });
  }

  control(code: number): unknown {
    return this.machine.callBack(this.#handler, code, 0, 0n, 0n);
  }

  get last() {
    return this.reports.at(-1);
  }
}

let manager: FakeManager;
beforeEach(() => {
  manager = new FakeManager();
});

describe("a service", () => {
  it("is starting until it says that it runs, and then takes controls", async () => {
    const service = await manager.enter();
    expect(manager.last).toMatchObject({ dwServiceType: 0x10, dwCurrentState: states.starting, dwControlsAccepted: 0 });
    service.running();
    expect(manager.last).toMatchObject({
      dwCurrentState: states.running,
      dwControlsAccepted: accepted,
      dwCheckPoint: 0,
    });
    expect(manager.control(controls.interrogate)).toBe(0);
    expect(manager.control(controls.pause)).toBe(120);
    expect(manager.last).toMatchObject({ dwCurrentState: states.running });
  });

  it.each([
    [controls.stop, "SERVICE_CONTROL_STOP"],
    [controls.shutdown, "SERVICE_CONTROL_SHUTDOWN"],
    [controls.preshutdown, "SERVICE_CONTROL_PRESHUTDOWN"],
  ])("ends by control %i, and asks for time until it has", async (control, reason) => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const service = await manager.enter();
      service.running();
      expect(manager.control(control)).toBe(0);
      expect(await service.stopRequested).toBe(reason);
      const first = manager.last?.dwCheckPoint ?? 0;
      expect(manager.last).toMatchObject({
        dwCurrentState: states.stopping,
        dwControlsAccepted: 0,
        dwWaitHint: 30_000,
      });
      service.stopping();
      vi.advanceTimersByTime(10_000);
      expect(manager.last).toMatchObject({ dwCurrentState: states.stopping, dwCheckPoint: first + 2 });
      service.stopped(0);
      const reports = manager.reports.length;
      vi.advanceTimersByTime(60_000);
      service.stopped(1);
      expect(manager.reports).toHaveLength(reports);
      expect(manager.last).toMatchObject({ dwCurrentState: states.stopped, dwWin32ExitCode: 0 });
    } finally {
      vi.useRealTimers();
    }
  });

  it("says with what code it failed", async () => {
    (await manager.enter()).stopped(2);
    const failure = { dwWin32ExitCode: 1066, dwServiceSpecificExitCode: 2 };
    expect(manager.last).toMatchObject({ dwCurrentState: states.stopped, ...failure });
  });
});

describe("a process that is none", () => {
  it("is refused if the manager has not started it", async () => {
    manager.isStarter = false;
    await expect(manager.enter()).rejects.toThrow("the service control manager has not started this process");
    expect(manager.reports).toEqual([]);
  });

  it.each(["GetProcAddress", "CreateThread", "RegisterServiceCtrlHandlerExW"])(
    "is refused if %s fails",
    async (name) => {
      manager.machine.failAt = [
        "GetModuleHandleW",
        "GetProcAddress",
        "CreateThread",
        "RegisterServiceCtrlHandlerExW",
      ].indexOf(name);
      await expect(manager.enter()).rejects.toThrow("Windows error");
      expect(manager.machine.struck).toBe(name);
    },
  );
});
