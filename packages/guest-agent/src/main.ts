import { runGuestAgent } from "./agent.ts";

void runGuestAgent();
