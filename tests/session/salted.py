"""Scans whose headers are full of what tells who a patient is, and a look for it in any file."""

import zipfile

import numpy as np
import pydicom
import tables

from lungseg.io.dicom.write import SeriesHeader, write_series
from lungseg.phantom.small_chest import chest

TEXTS = (
    *("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName"),
    *("PatientAddress", "PatientTelephoneNumbers", "CountryOfResidence", "RegionOfResidence"),
    *("EthnicGroup", "Occupation", "MilitaryRank", "BranchOfService", "PatientReligiousPreference"),
    *("PatientComments", "AdditionalPatientHistory", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "OperatorsName", "RequestingPhysician"),
    *("NameOfPhysiciansReadingStudy", "InstitutionName", "InstitutionAddress"),
    *("InstitutionalDepartmentName", "StationName", "StudyDescription", "SeriesDescription"),
    *("ProtocolName", "ImageComments", "DeviceSerialNumber", "RequestedProcedureDescription"),
)
SHORT = ("AccessionNumber", "StudyID", "OtherPatientIDs", "RequestedProcedureID")
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "PatientBirthDate")
TIMES = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime")


def salts_of(patient):
    """What stands in the headers of a patient, by keyword; PatientID is apart."""
    number = sum(patient.encode())
    salts = {name: f"Salt{k}x{patient[::-1]}" for k, name in enumerate(TEXTS)}
    salts |= {name: f"S{k}{patient[::-1]}" for k, name in enumerate(SHORT)}
    salts |= {name: f"19{31 + k}07{10 + number % 19}" for k, name in enumerate(DATES)}
    salts |= {name: f"0{k + 3}4{k}27.{700000 + number}" for k, name in enumerate(TIMES)}
    salts["AcquisitionDateTime"] = f"19330{1 + number % 9}17064127.{700001 + number}"
    salts["PrivateTag"] = f"Private{patient[::-1]}"
    return salts


def write_salted(folder, patient, series, seed=0):
    """A small phantom's DICOM series with all of them, under names that tell nothing."""
    header = SeriesHeader(patient="x", study=f"{series}.9", series=series)
    ct = chest((6.0, 4.0, 4.0), seed=seed, nodules=("isolated",)).ct
    for path in write_series(ct, folder, header):
        ds = pydicom.dcmread(path)
        for name, value in salts_of(patient).items():
            if name != "PrivateTag":
                setattr(ds, name, value)
        block = ds.private_block(0x0009, "SOMEBODY", create=True)
        block.add_new(1, "LO", salts_of(patient)["PrivateTag"])
        ds.PatientID = patient
        ds.save_as(path)


def leaks(folders, words, passed_over=()):
    """Where one of `words` stands in a file, its name, an archive's member or a table's cell."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.name in passed_over or any(part in passed_over for part in path.parts):
                continue
            contents = [str(path.relative_to(folder)).encode()]
            if path.is_file():
                contents += list(_contents(path))
            found += [
                (str(path.relative_to(folder)), word)
                for word in words
                if any(word.encode() in content for content in contents)
            ]
    return found


def _contents(path):
    data = path.read_bytes()
    yield data
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name)
    if data.startswith(b"\x89HDF"):
        with tables.open_file(str(path)) as file:
            for node in file.walk_nodes("/"):
                yield repr({name: node._v_attrs[name] for name in node._v_attrs._f_list()}).encode()
                if isinstance(node, tables.Table):
                    yield b"\n".join(
                        np.asarray(node.col(name)).astype("S").tobytes()
                        for name in node.colnames
                        if node.coltypes[name] == "string"
                    )
