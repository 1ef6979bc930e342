/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

"use strict";
// What the page adds if scripts run: live status, copy buttons, and signing in with a browser's wallet.

const STATES = { live: "Live", full: "Full", silent: "Silent" };

function stateOf(said) {
  if (!said.live) return "silent";
  return said.free_slots > 0 ? "live" : "full";
}

function showLiveness(said) {
  for (const row of document.querySelectorAll(`[data-provider="${said.provider}"]`)) {
    const badge = row.querySelector("[data-live]");
    if (badge) {
      badge.className = `state ${stateOf(said)}`;
      badge.querySelector("[data-state]").textContent = STATES[stateOf(said)];
    }
    const free = row.querySelector("[data-free]");
    if (free && said.free_slots !== undefined) free.textContent = said.free_slots;
  }
}

function listen() {
  const shown = [...document.querySelectorAll("[data-events] [data-provider]")];
  const providers = [...new Set(shown.map((row) => row.dataset.provider))];
  if (!providers.length) return;
  const query = new URLSearchParams(providers.map((each) => ["provider", each]));
  const source = new EventSource(`/api/v1/events?${query}`);
  const note = document.querySelector("[data-live-note]");
  const tell = (text) => {
    if (!note) return;
    note.hidden = false;
    if (note.textContent !== text) note.textContent = text;
  };
  source.onopen = () => tell("Live: changes appear as they happen");
  source.onerror = () => tell("Connection lost: trying again");

  for (const kind of ["record", "heartbeat", "silent"]) {
    source.addEventListener(kind, (event) => showLiveness(JSON.parse(event.data)));
  }
  source.addEventListener("gone", (event) => {
    showLiveness({ ...JSON.parse(event.data), live: false, free_slots: 0 });
  });
  source.addEventListener("reset", () => location.reload());
  addEventListener("pagehide", () => source.close());
}

function offerCopies() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    if (!navigator.clipboard) continue;
    const text = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = text; }, 2000);
    });
  }
}

async function answered(response) {
  const said = await response.json();
  if (!response.ok) throw new Error(said.detail);
  return said;
}

async function signIn() {
  const [address] = await window.ethereum.request({ method: "eth_requestAccounts" });
  const asked = await fetch(`/api/v1/sign-in?${new URLSearchParams({ address })}`);
  const { message } = await answered(asked);
  const bytes = new TextEncoder().encode(message);
  const hex = `0x${[...bytes].map((each) => each.toString(16).padStart(2, "0")).join("")}`;
  const signature = await window.ethereum.request({
    method: "personal_sign",
    params: [hex, address],
  });
  await answered(await fetch("/api/v1/sign-in", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ message, signature }),
  }));
  location.reload();
}

function offerWallet() {
  const part = document.querySelector("[data-wallet]");
  if (!part || !window.ethereum) return;
  part.hidden = false;
  const note = part.querySelector("[data-sign-in-note]");
  part.querySelector("[data-sign-in]").addEventListener("click", () => {
    note.textContent = "";
    signIn().catch((error) => { note.textContent = `Not signed in: ${error.message}`; });
  });
}

offerCopies();
offerWallet();
listen();
