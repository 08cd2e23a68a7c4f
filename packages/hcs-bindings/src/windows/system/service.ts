import type { LibraryPaths } from "../native/libraries.ts";
import type { NativeCallback, NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { serviceFunctions, serviceKernelFunctions } from "../native/service-functions.ts";
import { wideText } from "../native/structures.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError } from "../native/windows-error.ts";

/** Constants of winsvc.h. */
const SERVICE_WIN32_OWN_PROCESS = 0x10;
const SERVICE_STOPPED = 0x1;
const SERVICE_START_PENDING = 0x2;
const SERVICE_STOP_PENDING = 0x3;
const SERVICE_RUNNING = 0x4;
const SERVICE_ACCEPT_STOP = 0x1;
const SERVICE_ACCEPT_SHUTDOWN = 0x4;
const SERVICE_ACCEPT_PRESHUTDOWN = 0x100;
const SERVICE_CONTROL_STOP = 0x1;
const SERVICE_CONTROL_INTERROGATE = 0x4;
const SERVICE_CONTROL_SHUTDOWN = 0x5;
const SERVICE_CONTROL_PRESHUTDOWN = 0xf;
/** Of winerror.h. */
const ERROR_CALL_NOT_IMPLEMENTED = 120;
const ERROR_SERVICE_SPECIFIC_ERROR = 1066;

const { SERVICE_STATUS: status, SERVICE_TABLE_ENTRYW: entry } = systemStructures;

/** How long the manager waits for the next report while the service starts or stops, in milliseconds. */
const waitHint = 30_000;
const reportMilliseconds = 5000;

/** Why a service is to stop, as the manager names it. */
const reasons: ReadonlyMap<number, string> = new Map([
  [SERVICE_CONTROL_STOP, "SERVICE_CONTROL_STOP"],
  [SERVICE_CONTROL_SHUTDOWN, "SERVICE_CONTROL_SHUTDOWN"],
  [SERVICE_CONTROL_PRESHUTDOWN, "SERVICE_CONTROL_PRESHUTDOWN"],
]);

/** What a service needs of Windows. */
export interface ServiceSystem {
  readonly machine: NativeMachine;
  readonly paths: Pick<LibraryPaths, "kernel32" | "advapi32">;
  /** Resolves when a handle is signalled. */
  readonly wait: (handle: bigint) => Promise<void>;
}

/** This process as the service that the service control manager has started. It may have one. */
export class ServiceProcess {
  /** Resolves, with the name of the control, when the manager wants the service to stop. */
  readonly stopRequested: Promise<string>;
  readonly #kernel: NativeLibrary<typeof serviceKernelFunctions>;
  readonly #manager: NativeLibrary<typeof serviceFunctions>;
  readonly #machine: NativeMachine;
  readonly #requested = Promise.withResolvers<string>();
  readonly #begun = Promise.withResolvers<void>();
  /** The service table and the texts in it, whose addresses Windows keeps. */
  readonly #table: readonly [entries: Buffer, name: Buffer];
  readonly #handler: NativeCallback;
  #handle = 0n;
  #state = SERVICE_START_PENDING;
  #checkPoint = 0;
  /** Each report that it is still at it gives a service as much time again. It also keeps Node from ending meanwhile. */
  #reporting: NodeJS.Timeout;

  private constructor({ machine, paths }: ServiceSystem) {
    this.#machine = machine;
    this.#kernel = machine.library(paths.kernel32, serviceKernelFunctions);
    this.#manager = machine.library(paths.advapi32, serviceFunctions);
    this.stopRequested = this.#requested.promise;
    // Never unregistered, since the manager's thread may still call them.
    this.#handler = machine.registerAnswering(["uint32", "uint32", "pointer", "pointer"], (control) =>
      this.#control(control),
    );
    const main = machine.registerCallback(["uint32", "pointer"], () => this.#begin());
    // Of a process with one service, the manager ignores the name.
    const name = wideText("");
    const only = entry.encode({ lpServiceName: machine.addressOf(name), lpServiceProc: main.address });
    this.#table = [Buffer.concat([only, entry.encode({})]), name];
    this.#reporting = this.#reportOften(SERVICE_START_PENDING);
  }

  /**
   * Connects to the manager, which takes the service for one that is starting. Rejects if the manager has not started
   * this process.
   */
  static async enter(system: ServiceSystem): Promise<ServiceProcess> {
    const service = new ServiceProcess(system);
    try {
      await service.#connect(system.wait);
      return service;
    } catch (error) {
      clearInterval(service.#reporting);
      throw error;
    }
  }

  async #connect(wait: ServiceSystem["wait"]): Promise<void> {
    const dispatcher = this.#dispatch();
    const over = wait(dispatcher).then(() => {
      this.#kernel.call("CloseHandle", dispatcher);
      throw new Error("the service control manager has not started this process");
    });
    over.catch(() => {});
    await Promise.race([this.#begun.promise, over]);
  }

  /** What is asked of the service from now on is done. */
  running(): void {
    clearInterval(this.#reporting);
    this.#report(SERVICE_RUNNING);
  }

  /** Has the manager wait until it has stopped. */
  stopping(): void {
    if (this.#state === SERVICE_STOP_PENDING || this.#state === SERVICE_STOPPED) return;
    clearInterval(this.#reporting);
    this.#report(SERVICE_STOP_PENDING);
    this.#reporting = this.#reportOften(SERVICE_STOP_PENDING);
  }

  /** The last report: the process is to end now. A code other than 0 is that of a failure. */
  stopped(exitCode: number): void {
    if (this.#state === SERVICE_STOPPED) return;
    clearInterval(this.#reporting);
    this.#report(SERVICE_STOPPED, exitCode);
  }

  /**
   * Runs the dispatcher, which returns when the service has stopped, on a thread of its own: one of libuv's pool would be
   * lost to the process for all its life, and Node would wait for it when it exits after a failure.
   */
  #dispatch(): bigint {
    const library = this.#kernel.call("GetModuleHandleW", "advapi32.dll");
    const name = Buffer.from("StartServiceCtrlDispatcherW\0", "ascii");
    const dispatcher = this.#kernel.call("GetProcAddress", library, name);
    if (dispatcher === 0n) throw new WindowsError("GetProcAddress", this.#kernel.call("GetLastError"));
    const table = this.#machine.addressOf(this.#table[0]);
    // As the functions of threads, it takes one pointer and answers with a number.
    const thread = this.#kernel.call("CreateThread", null, 0, dispatcher, table, 0, null);
    if (thread === 0n) throw new WindowsError("CreateThread", this.#kernel.call("GetLastError"));
    return thread;
  }

  /** The service's main function: the service goes on when it has returned. */
  #begin(): void {
    this.#handle = this.#manager.call("RegisterServiceCtrlHandlerExW", "", this.#handler.address, null);
    if (this.#handle === 0n) {
      const error = new WindowsError("RegisterServiceCtrlHandlerEx", this.#kernel.call("GetLastError"));
      this.#begun.reject(error);
      return;
    }
    this.#report(SERVICE_START_PENDING);
    this.#begun.resolve();
  }

  #control(control: number): number {
    const reason = reasons.get(control);
    if (reason === undefined) return control === SERVICE_CONTROL_INTERROGATE ? 0 : ERROR_CALL_NOT_IMPLEMENTED;
    this.stopping();
    this.#requested.resolve(reason);
    return 0;
  }

  #reportOften(state: number): NodeJS.Timeout {
    return setInterval(() => {
      if (this.#handle !== 0n) this.#report(state);
    }, reportMilliseconds);
  }

  /** Nothing follows from a report that the manager does not take. */
  #report(state: number, exitCode = 0): void {
    this.#state = state;
    const isPending = state === SERVICE_START_PENDING || state === SERVICE_STOP_PENDING;
    const accepted = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PRESHUTDOWN;
    const report = status.encode({
      dwServiceType: SERVICE_WIN32_OWN_PROCESS,
      dwCurrentState: state,
      dwControlsAccepted: state === SERVICE_RUNNING ? accepted : 0,
      dwWin32ExitCode: exitCode === 0 ? 0 : ERROR_SERVICE_SPECIFIC_ERROR,
      dwServiceSpecificExitCode: exitCode,
      dwCheckPoint: isPending ? ++this.#checkPoint : 0,
      dwWaitHint: isPending ? waitHint : 0,
    });
    this.#manager.call("SetServiceStatus", this.#handle, report);
  }
}
