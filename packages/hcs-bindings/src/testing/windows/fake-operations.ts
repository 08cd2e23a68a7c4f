import { hresults, SchemaError } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";
import { HostError } from "../../host-error.ts";
import { FakeRefusal } from "../fake-refusal.ts";
import { type FakeMachine, failures } from "./fake-machine.ts";

/** Whether the callback of an operation comes before or after its starting call returns. */
export type CompletionTime = "later" | "early";

/** What tests change about the fake's asynchronous calls. */
export interface OperationKnobs {
  completion: CompletionTime;
  /** Returns results in NTSTATUS form. */
  ntstatus: boolean;
  /** Calls back twice, and also for rejected calls. */
  tooOften: boolean;
}

interface FakeOperation {
  readonly context: bigint;
  readonly callback: bigint;
  answer?: { readonly hresult: number; readonly document?: string; readonly information?: () => Buffer };
}

/** Result of an operation. */
export interface FakeAnswer {
  readonly document?: unknown;
  /** Opens the handles of an HCS_PROCESS_INFORMATION. */
  readonly information?: () => Buffer;
}

/** Operations of the fake computecore.dll. */
export class FakeOperations {
  readonly open = new Map<bigint, FakeOperation>();
  readonly knobs: OperationKnobs = { completion: "later", ntstatus: false, tooOften: false };
  readonly #machine: FakeMachine;

  constructor(machine: FakeMachine) {
    this.#machine = machine;
  }

  /** HRESULT of a failure, in the selected form. */
  hresultOf(error: unknown): number {
    const hresult = plainHresult(error);
    const isOfService = hresult >>> 16 === 0x8037;
    return (this.knobs.ntstatus && isOfService ? (0xc0370000 | (hresult & 0xffff)) >>> 0 : hresult) | 0;
  }

  /** Starts work on an operation; its callback comes when the work has ended. */
  async begin(operation: bigint, work: () => FakeAnswer | Promise<FakeAnswer>): Promise<number> {
    const running = this.#work(operation, work);
    if (this.knobs.completion === "early") await running;
    else this.#machine.track(running);
    return 0;
  }

  result(operation: bigint, output: Buffer, information?: Buffer): number {
    const { answer } = this.open.get(operation) ?? {};
    if (answer === undefined) return hresults.HCS_E_OPERATION_PENDING | 0;
    if (answer.document !== undefined) {
      output.writeBigUInt64LE(this.#machine.giveText("computecore", answer.document));
    }
    if (information !== undefined) answer.information?.().copy(information);
    return answer.hresult;
  }

  readonly functions = {
    HcsCreateOperation: (context: bigint, callback: bigint) => {
      const operation = this.#machine.newAddress();
      this.open.set(operation, { context, callback });
      return operation;
    },
    HcsCloseOperation: (operation: bigint) => {
      if (!this.open.delete(operation)) this.#machine.wrongs.push(`operation ${operation} is not open`);
    },
    HcsGetOperationResult: (operation: bigint, output: Buffer) => this.result(operation, output),
    HcsGetOperationResultAndProcessInfo: (operation: bigint, information: Buffer, output: Buffer) =>
      this.result(operation, output, information),
    HcsCancelOperation: () => hresults.E_NOTIMPL | 0,
  };

  async #work(operation: bigint, work: () => FakeAnswer | Promise<FakeAnswer>): Promise<void> {
    const found = this.open.get(operation);
    if (found === undefined) {
      this.#machine.wrongs.push(`operation ${operation} is not open`);
      return;
    }
    found.answer = await this.#answer(work);
    const times = this.knobs.tooOften ? 2 : 1;
    // A closed operation gets no callback.
    for (let time = 0; time < times && this.open.has(operation); time++) {
      this.#machine.callBack(found.callback, operation, found.context);
    }
  }

  async #answer(work: () => FakeAnswer | Promise<FakeAnswer>): Promise<NonNullable<FakeOperation["answer"]>> {
    if (this.#machine.strikes("completion")) return { hresult: failures.hresult, document: "struck" };
    try {
      const { document, information } = await work();
      return {
        hresult: 0,
        ...(document !== undefined && { document: JSON.stringify(document) }),
        ...(information !== undefined && { information }),
      };
    } catch (error) {
      const ErrorMessage = messageOf(error);
      const hresult = this.hresultOf(error);
      return { hresult, document: JSON.stringify({ Error: hresult, ErrorMessage, ErrorEvents: [{ Message: "why" }] }) };
    }
  }
}

function plainHresult(error: unknown): number {
  if (error instanceof FakeRefusal) return hresults[error.result];
  if (error instanceof SchemaError) return hresults.HCS_E_INVALID_JSON;
  if (error instanceof HostError) return error.hresult ?? hresults.HCS_E_SERVICE_DISCONNECT;
  throw error;
}
