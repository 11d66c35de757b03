"""Decides from measurements whether a service may move, moves it in steps, and takes it back.

Its public face: `doctor.doctor`, `measure.gate`, `measure.judge_file`, `controller.migrate`, `controller.rollback`,
`ledger.history`, `report.write`. Every error that they raise is in `errors`; `verdict` is the room's word to others.
"""
