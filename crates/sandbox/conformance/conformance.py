"""Runs two public ConnectWise clients against a running sandbox: one line a call, exit 1 when one failed.

`cargo test-all` does this (tests/conformance.rs). By hand, over https, where both clients run as they are:

    pip install -r requirements.txt
    trueup sandbox --tls ca.pem > sandbox.json &
    REQUESTS_CA_BUNDLE=ca.pem python conformance.py sandbox.json

Without --tls it goes over plain http, for which pyconnectwise needs two methods overridden. The argument is the file
with the line the sandbox prints at its start, or the sandbox's address when it was started with its default keys.
"""

import json
import os
import ssl
import sys
import traceback
import urllib.request

from connectwise.client import ConnectWiseClient
from pyconnectwise import ConnectWiseManageAPIClient
from pyconnectwise.exceptions import MalformedRequestException, NotFoundException, ObjectExistsError

DEFAULT_KEYS = {
    "company": "training",
    "public_key": "mVq7nB2xKtR4Wz8c",
    "private_key": "h3JkP9sLd6FyT1aG",
    "client_id": "5d1c6f0a-8b3e-4c27-9f4d-2a7e61b0c935",
}
START = "2026-03-01T00:00:00Z"


class PlainHttpManageClient(ConnectWiseManageAPIClient):
    """pyconnectwise has https written into two methods."""

    def _get_url(self):
        return f"http://{self.manage_url}/{self.codebase.strip('/')}/apis/3.0"

    def _try_get_codebase_from_api(self, manage_url, company_name, headers):
        url = f"http://{manage_url}/login/companyinfo/{company_name}"
        return self._make_request("GET", url, headers=headers).json().get("Codebase")


class Report:
    def __init__(self):
        self.failed = 0

    def check(self, name, call, accept=bool):
        try:
            value = call()
            good = accept(value)
        except Exception:  # every failure of a call is a line of the report
            traceback.print_exc()
            good, value = False, None
        print(f"{'ok    ' if good else 'FAILED'} {name}", flush=True)
        self.failed += not good
        return value

    def refused(self, name, call, error):
        def attempt():
            try:
                call()
            except error:
                return True
            return False

        self.check(name, attempt)


def control(url, path, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/sandbox/{path}", data=data, method="POST")
    trust = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE"))
    with urllib.request.urlopen(request, context=trust) as answer:
        return json.load(answer)


def connectpyse(report, sandbox, ids):
    client = ConnectWiseClient(
        base_url=sandbox["url"],
        client=sandbox["company"],
        username=sandbox["public_key"],
        password=sandbox["private_key"],
        client_id=sandbox["client_id"],
    )
    agreement, company = ids["agreement"], ids["company"]

    def run(name, call, accept=bool):
        return report.check(f"connectpyse-manage {name}", call, accept)

    run("get_companies", lambda: client.get_companies(conditions="deletedFlag=false", orderby="name asc"))
    run("get_company", lambda: client.get_company(company))
    run("get_company of an unknown id", lambda: client.get_company(987654), lambda found: found is None)
    run("get_agreements", lambda: client.get_agreements())
    run("get_company_agreements", lambda: client.get_company_agreements(company), lambda found: len(found) == 1)
    made = run("create_agreement_addition", lambda: client.create_agreement_addition(
        agreement, ids["item"], quantity=2, effective_date=START, uom="Each"
    ))
    addition = made.id
    run("get_agreement_additions", lambda: client.get_agreement_additions(agreement))
    run("get_agreement_addition", lambda: client.get_agreement_addition(agreement, addition))
    run("patch", lambda: client.patch(
        f"finance/agreements/{agreement}/additions", addition, [{"op": "replace", "path": "quantity", "value": 5}]
    ), lambda patched: patched["quantity"] == 5.0)
    run("get_agreement_invoices", lambda: client.get_agreement_invoices(agreement))
    run("get_boards", lambda: client.get_boards())
    run("get_priorities", lambda: client.get_priorities())
    run("get_contacts", lambda: client.get_contacts())
    run("get_members", lambda: client.get_members())
    control(sandbox["url"], "rate_limit", {"per_minute": 1, "window_seconds": 1})
    run("waits out throttling", lambda: [client.get_company(company) for _ in range(3)], all)
    control(sandbox["url"], "rate_limit", {})


def pyconnectwise(report, sandbox, ids):
    def run(name, call, accept=bool):
        return report.check(f"pyconnectwise {name}", call, accept)

    scheme, address = sandbox["url"].split("://")
    kind = ConnectWiseManageAPIClient if scheme == "https" else PlainHttpManageClient
    client = run("codebase from companyinfo", lambda: kind(
        company_name=sandbox["company"],
        manage_url=address,
        client_id=sandbox["client_id"],
        public_key=sandbox["public_key"],
        private_key=sandbox["private_key"],
    ))
    run("system.info", lambda: client.system.info.get().version)
    companies = client.company.companies
    run("companies.get", lambda: companies.get(params={"pageSize": 1000}))
    run("companies.count", lambda: companies.count.get().count)
    body = {"identifier": f"py{os.getpid()}", "name": "Made by pyconnectwise"}
    run("companies.post", lambda: companies.post(body).id)
    report.refused("pyconnectwise companies.post twice", lambda: companies.post(body), ObjectExistsError)
    report.refused("pyconnectwise companies.id of an unknown id", lambda: companies.id(987654).get(), NotFoundException)

    def every_page():
        page = companies.paginated(1, 2)
        return list(page.all())

    run("companies.paginated", every_page, lambda found: len(found) == companies.count.get().count)
    agreement = client.finance.agreements.id(ids["agreement"])
    run("agreements.get", lambda: agreement.get().next_invoice_date)
    additions = agreement.additions
    run("additions.get", lambda: additions.get())
    wanted = {"product": {"id": ids["item"]}, "billCustomer": "Billable", "quantity": 1, "effectiveDate": "2026-04-01T00:00:00Z"}
    made = run("additions.post", lambda: additions.post(wanted))
    one = additions.id(made.id)
    run("additions.patch", lambda: one.patch([{"op": "replace", "path": "quantity", "value": 3}]).quantity == 3.0)
    run("additions.put", lambda: one.put({**wanted, "quantity": 4}).quantity == 4.0)
    run("additions.delete", lambda: one.delete(), lambda _: True)
    report.refused("pyconnectwise additions.get after delete", lambda: one.get(), NotFoundException)
    wrong = {**wanted, "effectiveDate": "2020-01-01T00:00:00Z"}
    report.refused("pyconnectwise additions.post before the start", lambda: additions.post(wrong), MalformedRequestException)
    run("callbacks.post", lambda: client.system.callbacks.post(
        {"url": "https://example.com/hook?recordId=", "objectId": 1, "type": "agreement", "level": "owner"}
    ).id)


def prepare(sandbox):
    """What both clients look at; made through one of them."""
    client = ConnectWiseClient(
        base_url=sandbox["url"],
        client=sandbox["company"],
        username=sandbox["public_key"],
        password=sandbox["private_key"],
        client_id=sandbox["client_id"],
    )
    company = client.post("company/companies", {"identifier": "acme", "name": "Acme"})
    contact = client.post("company/contacts", {"firstName": "Ada", "company": {"identifier": "acme"}})
    item = client.post("procurement/catalog", {
        "identifier": "SEAT", "description": "Seat", "customerDescription": "A seat", "subcategory": {"id": 1},
        "type": {"id": 1}, "price": 12.10, "cost": 8,
    })
    agreement = client.post("finance/agreements", {
        "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": company["id"]},
        "contact": {"id": contact["id"]}, "startDate": START, "billAmount": 10, "prorateFlag": True,
    })
    client.post(f"finance/agreements/{agreement['id']}/invoice", None)
    return {"company": company["id"], "item": item["id"], "agreement": agreement["id"]}


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if os.path.exists(sys.argv[1]):
        with open(sys.argv[1], encoding="utf-8") as file:
            sandbox = json.loads(file.readline())
    else:
        sandbox = {"url": sys.argv[1].rstrip("/"), **DEFAULT_KEYS}
    control(sandbox["url"], "reset", {})
    control(sandbox["url"], "clock", {"today": "2026-03-10"})
    ids = prepare(sandbox)
    report = Report()
    connectpyse(report, sandbox, ids)
    pyconnectwise(report, sandbox, ids)
    print(f"{report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
