import type { HresultName } from "@uvm-shim/hcs-schema";

/** A failure of the service; the operation and id are added where it leaves the fake. */
export class FakeRefusal extends Error {
  readonly result: HresultName;

  constructor(result: HresultName, message: string) {
    super(message);
    this.result = result;
  }
}
