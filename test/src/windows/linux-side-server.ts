/**
 * What cases that run under Wine are told about the Linux machine outside, over HTTP: `/remember` takes down what it
 * holds, `/held` answers with a JSON list of what has come since, and `/left` with that too, when it is empty or enough
 * time has gone. `/lose-service` takes the host away.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { compareHoldings, type Holdings } from "../leaks/compare.ts";
import { type HoldingsScope, takeHoldings, waitForNothingLeft } from "../leaks/holdings.ts";

const NOTHING_LEFT_MS = 10_000;

export interface OutsideGround {
  readonly scope: HoldingsScope;
  readonly host: { loseService(): Promise<void> };
}

export class Outside implements AsyncDisposable {
  readonly #scope: HoldingsScope;
  readonly #loseService: () => Promise<void>;
  readonly #server: Server;
  #before: Holdings;

  private constructor({ scope, host }: OutsideGround, before: Holdings) {
    this.#scope = scope;
    this.#loseService = () => host.loseService();
    this.#before = before;
    this.#server = createServer(async (request, response) => {
      const answer = await this.#answer(request.url).catch(String);
      response.setHeader("connection", "close").end(JSON.stringify(answer ?? null));
    });
  }

  static async serve(ground: OutsideGround): Promise<Outside> {
    const outside = new Outside(ground, await takeHoldings(ground.scope));
    outside.#server.listen(0, "127.0.0.1");
    await once(outside.#server, "listening");
    return outside;
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("a server without a port");
    return `http://127.0.0.1:${address.port}`;
  }

  async #answer(url: string | undefined): Promise<unknown> {
    switch (url) {
      case "/remember":
        this.#before = await takeHoldings(this.#scope);
        return undefined;
      case "/held":
        return compareHoldings(this.#before, await takeHoldings(this.#scope));
      case "/lose-service":
        return await this.#loseService();
      case "/left":
        return await waitForNothingLeft(this.#before, this.#scope, NOTHING_LEFT_MS);
      default:
        throw new Error(`nothing is told about ${url}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}
