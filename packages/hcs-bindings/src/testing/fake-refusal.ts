import type { HresultName } from "@uvm-shim/hcs-schema";

/** A refusal in the words of the service; what it was about is added where it leaves the fake. */
export class FakeRefusal extends Error {
  readonly result: HresultName;

  constructor(result: HresultName, message: string) {
    super(message);
    this.result = result;
  }
}
