import type { Kernel } from "../io/completion-port.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError } from "../native/windows-error.ts";

const JobObjectExtendedLimitInformation = 9;
const JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000;
const PROCESS_TERMINATE = 0x1;
const PROCESS_SET_QUOTA = 0x100;

/** A job object: its processes end when the job is closed or the process that created it ends. */
export class Job {
  readonly #kernel: Kernel;
  readonly #handle: bigint;
  #closed = false;

  /** Throws a WindowsError. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#handle = kernel.call("CreateJobObjectW", null, null);
    if (this.#handle === 0n) throw new WindowsError("CreateJobObject", kernel.call("GetLastError"));
    const limits = systemStructures.JOBOBJECT_EXTENDED_LIMIT_INFORMATION.encode({
      "BasicLimitInformation.LimitFlags": JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    });
    const kind = JobObjectExtendedLimitInformation;
    if (kernel.call("SetInformationJobObject", this.#handle, kind, limits, limits.length) !== 0) return;
    const error = kernel.call("GetLastError");
    this.close();
    throw new WindowsError("SetInformationJobObject", error);
  }

  /** Adds a process and all that it starts from then on. Throws a WindowsError, also if the process has ended. */
  add(processId: number): void {
    const kernel = this.#kernel;
    const process = kernel.call("OpenProcess", PROCESS_TERMINATE | PROCESS_SET_QUOTA, 0, processId);
    if (process === 0n) throw new WindowsError("OpenProcess", kernel.call("GetLastError"));
    const added = kernel.call("AssignProcessToJobObject", this.#handle, process);
    const error = kernel.call("GetLastError");
    kernel.call("CloseHandle", process);
    if (added === 0) throw new WindowsError("AssignProcessToJobObject", error);
  }

  /** Ends its processes. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#kernel.call("CloseHandle", this.#handle);
  }
}
