import { CompletionPort, type Kernel } from "../../windows/io/completion-port.ts";
import { kernelFunctions, securityFunctions } from "../../windows/native/kernel-functions.ts";
import type { Security } from "../../windows/system/security-descriptor.ts";
import { FakeIo } from "./fake-io.ts";
import { FakeMachine } from "./fake-machine.ts";
import { FakePipes } from "./fake-pipes.ts";
import { FakeWinsock } from "./fake-winsock.ts";

/** A fake machine with sockets, pipes and a completion port. */
export class FakeStreams {
  readonly machine: FakeMachine;
  readonly io: FakeIo;
  readonly winsock: FakeWinsock;
  readonly pipes: FakePipes;
  readonly kernel: Kernel;
  readonly security: Security;

  constructor() {
    const made = {} as { io: FakeIo; winsock: FakeWinsock; pipes: FakePipes };
    this.machine = new FakeMachine((machine) => {
      made.io = new FakeIo(machine);
      made.winsock = new FakeWinsock(machine, made.io);
      made.pipes = new FakePipes(machine, made.io);
      return {
        winsock: made.winsock.functions,
        kernel32: { ...made.io.functions(), ...made.pipes.functions },
        advapi32: made.pipes.securityFunctions,
      };
    });
    this.io = made.io;
    this.winsock = made.winsock;
    this.pipes = made.pipes;
    this.kernel = this.machine.library("kernel32", kernelFunctions);
    this.security = this.machine.library("advapi32", securityFunctions);
  }

  openPort(): CompletionPort {
    return new CompletionPort(this.machine, this.kernel);
  }

  leftovers(): readonly string[] {
    const started = this.winsock.started === 0 ? [] : ["winsock is started"];
    return [...this.io.leftovers(), ...this.machine.leftovers(), ...started];
  }
}
