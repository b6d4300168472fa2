"""The quantities that several calculators ask for: each with its unit and the range taken for plausible in a patient.

The ranges keep out what cannot be (a creatinine of 0) and what was typed in another unit; where a formula holds is
said by the calculator.

A bound of a score is compared as its source publishes it. Where the source uses another unit than the quantity has
here, the bound is read as a patient's value is (`UREA.read("30 mg/dL")`), so that the two meet; where it prints a
bound in two units (SOFA), the first counts and the other is its rounding.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from .amounts import Amount

Age: TypeAlias = Annotated[float, Amount(what="age", unit="years", low=0, high=120, example=67)]
AdultAge: TypeAlias = Annotated[float, Amount(what="age of an adult", unit="years", low=18, high=120, example=67)]

Weight: TypeAlias = Annotated[
    float, Amount(what="body weight", unit="kg", low=20, high=400, also=("g", "lb"), example=72)
]
Height: TypeAlias = Annotated[
    float, Amount(what="height of an adult", unit="cm", low=100, high=250, also=("m", "in"), example=172)
]

HeartRate: TypeAlias = Annotated[
    float, Amount(what="heart rate", unit="/min", low=20, high=300, also=("beats/min", "bpm"), example=88)
]
RespiratoryRate: TypeAlias = Annotated[
    float, Amount(what="respiratory rate", unit="/min", low=3, high=80, also=("breaths/min",), example=18)
]
SystolicPressure: TypeAlias = Annotated[
    float, Amount(what="systolic blood pressure", unit="mmHg", low=30, high=300, also=("kPa",), example=118)
]
DiastolicPressure: TypeAlias = Annotated[
    float, Amount(what="diastolic blood pressure", unit="mmHg", low=10, high=200, also=("kPa",), example=74)
]
Temperature: TypeAlias = Annotated[
    float, Amount(what="body temperature", unit="°C", low=25, high=45, also=("Cel", "degF"), example=37.8)
]
OxygenSaturation: TypeAlias = Annotated[float, Amount(what="oxygen saturation", unit="%", low=40, high=100, example=94)]
Fio2: TypeAlias = Annotated[
    float, Amount(what="fraction of inspired oxygen", unit="1", low=0.21, high=1, also=("%",), example=0.4)
]
ArterialOxygen: TypeAlias = Annotated[
    float, Amount(what="arterial oxygen tension (PaO2)", unit="mmHg", low=15, high=700, also=("kPa",), example=72)
]
ArterialCarbonDioxide: TypeAlias = Annotated[
    float,
    Amount(what="arterial carbon dioxide tension (PaCO2)", unit="mmHg", low=5, high=150, also=("kPa",), example=38),
]
ComaScale: TypeAlias = Annotated[
    float, Amount(what="Glasgow Coma Scale", unit="points", low=3, high=15, whole=True, example=14)
]

CREATININE = Amount(
    what="serum creatinine", unit="mg/dL", low=0.1, high=30, also=("umol/L",), substance="creatinine", example=1.2
)
Creatinine: TypeAlias = Annotated[float, CREATININE]
Bilirubin: TypeAlias = Annotated[
    float,
    Amount(
        what="total bilirubin", unit="mg/dL", low=0.1, high=60, also=("umol/L",), substance="bilirubin", example=1.1
    ),
]
Albumin: TypeAlias = Annotated[
    float, Amount(what="serum albumin", unit="g/dL", low=0.5, high=7, also=("g/L",), substance="albumin", example=3.6)
]
Inr: TypeAlias = Annotated[float, Amount(what="INR", unit="1", low=0.5, high=20, example=1.3)]
GLUCOSE = Amount(what="glucose", unit="mg/dL", low=10, high=2000, also=("mmol/L",), substance="glucose", example=110)
Glucose: TypeAlias = Annotated[float, GLUCOSE]
UREA = Amount(
    what="blood urea in mmol/L, or blood urea nitrogen (BUN) in mg/dL", unit="mmol/L", low=0.3, high=100,
    also=("mg/dL",), substance="urea nitrogen", example=6.5,
)  # fmt: skip
Urea: TypeAlias = Annotated[float, UREA]
Sodium: TypeAlias = Annotated[
    float,
    Amount(what="serum sodium", unit="mmol/L", low=90, high=210, also=("mEq/L",), substance="sodium", example=138),
]
Chloride: TypeAlias = Annotated[
    float,
    Amount(what="serum chloride", unit="mmol/L", low=50, high=180, also=("mEq/L",), substance="chloride", example=102),
]
Bicarbonate: TypeAlias = Annotated[
    float,
    Amount(
        what="serum bicarbonate", unit="mmol/L", low=1, high=60, also=("mEq/L",), substance="bicarbonate", example=24
    ),
]
Haemoglobin: TypeAlias = Annotated[
    float, Amount(what="haemoglobin", unit="g/dL", low=1, high=26, also=("g/L",), example=13.2)
]
Haematocrit: TypeAlias = Annotated[float, Amount(what="haematocrit", unit="%", low=5, high=75, example=41)]
Platelets: TypeAlias = Annotated[
    float, Amount(what="platelet count", unit="10^9/L", low=1, high=3000, also=("K/uL", "/uL"), example=210)
]
WhiteCells: TypeAlias = Annotated[
    float, Amount(what="white cell count", unit="10^9/L", low=0.01, high=1000, also=("K/uL", "/uL"), example=9.4)
]
Aminotransferase: TypeAlias = Annotated[
    float, Amount(what="aminotransferase (AST or ALT)", unit="U/L", low=1, high=20000, example=45)
]
